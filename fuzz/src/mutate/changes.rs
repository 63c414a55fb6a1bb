//! Random changes of files.

use crate::random::Random;

/// The maximum length of a changed file in bytes.
const MAX_BYTES: usize = 2 << 20;

/// Numbers at which programs often fail.
const EDGES: [u64; 17] = [
    0,
    1,
    2,
    3,
    7,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];
/// The same for decimal numbers in text.
const DECIMALS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "4294967296",
    "18446744073709551615",
    "9223372036854775807",
    "99999999999999999999999",
    "1e999",
    "1e-300",
    "16777216",
    "16777217",
    "0.5",
    "null",
    "[]",
];

/// A seed with some changes; with the checksums that it should have, in half of all cases, if there
/// is a function that corrects them. Otherwise most changes only break a checksum.
pub fn changed(random: &mut Random, seeds: &[Vec<u8>], correct: Option<fn(&mut [u8])>) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    let most = 1 + random.below(6);
    for _ in 0..1 + random.below(most) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        change(random, &mut bytes, seeds);
        bytes.truncate(MAX_BYTES);
    }
    if let Some(correct) = correct.filter(|_| random.below(2) == 0) {
        correct(&mut bytes);
    }
    bytes
}

/// Changes the bytes once. They must not be empty.
fn change(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let length = bytes.len();
    // Changes of the header and the end find the most faults.
    let at = match random.below(4) {
        0 => random.below(length),
        1 => random.below(length.min(64)),
        2 => random.below(length.min(600)),
        _ => length - 1 - random.below(length.min(300)),
    };
    let until = |random: &mut Random, most: usize| (at + 1 + random.below(most)).min(length);
    match random.below(14) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.next() as u8,
        3 => drop(bytes.drain(at..until(random, 16))),
        4 => {
            let more: Vec<u8> = (0..1 + random.below(8)).map(|_| random.next() as u8).collect();
            drop(bytes.splice(at..at, more));
        }
        5 => bytes.truncate(at),
        6 => {
            let size = random.pick(&[1, 2, 4, 8]);
            put(bytes, at, random.pick(&EDGES), size, Order::Little);
        }
        7 => {
            let size = random.pick(&[2, 4, 8]);
            put(bytes, at, random.pick(&EDGES), size, Order::Big);
        }
        8 => {
            let copy = bytes[at..until(random, 200)].to_vec();
            let to = random.below(length);
            drop(bytes.splice(to..to, copy));
        }
        9 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            let to = (from + 1 + random.below(300)).min(other.len());
            drop(bytes.splice(at..at, other[from..to].iter().copied()));
        }
        10 => change_decimal(random, bytes),
        11 | 12 => change_length(random, bytes, at),
        _ => {
            let (value, end) = (random.pick(&EDGES) as u8, until(random, 8));
            bytes[at..end].fill(value);
        }
    }
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// Writes a number of `size` bytes, as far as the file reaches.
fn put(bytes: &mut [u8], at: usize, number: u64, size: usize, order: Order) {
    let used = size.min(bytes.len() - at);
    match order {
        Order::Little => bytes[at..at + used].copy_from_slice(&number.to_le_bytes()[..used]),
        Order::Big => {
            bytes[at..at + used].copy_from_slice(&number.to_be_bytes()[8 - size..][..used]);
        }
    }
}

/// The number of `size` bytes at a place.
fn number(bytes: &[u8], at: usize, size: usize, order: Order) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    Some(match order {
        Order::Little => bytes.iter().rev().fold(0, add),
        Order::Big => bytes.iter().fold(0, add),
    })
}

/// Replaces a number that may be the length of a part of the file, or its place: the first one from
/// a place on that is not zero and at most the length of the file.
fn change_length(random: &mut Random, bytes: &mut [u8], from: usize) {
    let size = random.pick(&[2, 4, 4, 8]);
    let order = random.pick(&[Order::Little, Order::Big]);
    let places = (0..bytes.len()).map(|more| (from + more) % bytes.len()).take(4096);
    let claimed = |at: usize| {
        number(bytes, at, size, order).filter(|found| (1..=bytes.len() as u64).contains(found))
    };
    let found = places.filter_map(|at| Some((at, claimed(at)?))).next();
    let Some((at, found)) = found else { return };
    let length = bytes.len() as u64;
    let changed = match random.below(8) {
        0 => found.wrapping_sub(1),
        1 => found + 1,
        2 => found.wrapping_mul(2),
        3 => length,
        4 => length.wrapping_sub(at as u64).wrapping_add(random.below(3) as u64),
        _ => random.pick(&EDGES),
    };
    put(bytes, at, changed, size, order);
}

/// Replaces a decimal number in a text.
fn change_decimal(random: &mut Random, bytes: &mut Vec<u8>) {
    let digits = bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit());
    let digits: Vec<usize> = digits.map(|(at, _)| at).take(4000).collect();
    if digits.is_empty() {
        return;
    }
    let start = random.pick(&digits);
    let count = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(bytes.splice(start..start + count, random.pick(&DECIMALS).bytes()));
}
