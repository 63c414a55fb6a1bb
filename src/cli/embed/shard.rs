//! A part of the files.

use std::fmt;
use std::str::FromStr;

/// Part `number` of `count`: every `count`-th file, so that the parts have about the same size
/// whatever the folders hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    number: usize,
    count: usize,
}

impl Default for Shard {
    /// Everything.
    fn default() -> Self {
        Self { number: 1, count: 1 }
    }
}

impl Shard {
    /// Whether the file with this index, counted from 0, belongs to it.
    pub fn holds(self, index: usize) -> bool {
        index % self.count + 1 == self.number
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(number, count)| {
            Some(Self { number: number.parse().ok()?, count: count.parse().ok()? })
        });
        parsed
            .filter(|shard| (1..=shard.count).contains(&shard.number))
            .ok_or("expected i/n with 1 <= i <= n, for example 2/8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_one_shard() {
        let shards = ["1/3", "2/3", "3/3"].map(|text| text.parse::<Shard>());
        for index in 0..10 {
            let holders = shards.iter().flatten().filter(|shard| shard.holds(index)).count();
            assert_eq!(holders, 1);
        }
        assert!(
            "2/3".parse::<Shard>().is_ok_and(|shard| shard.holds(1) && shard.to_string() == "2/3")
        );
        for text in
            ["", "1", "0/3", "4/3", "0/0", "1/0", "-1/3", "1/3/5", "a/b", "1/99999999999999999999"]
        {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
