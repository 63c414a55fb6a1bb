//! Reads a journal for a fuzz target.

use super::*;

/// The records of a journal that a resumed run uses, as texts; none if it is refused or ignored.
/// The rows that it would read back must be among them.
pub fn journal(path: &Path) -> io::Result<Vec<String>> {
    let file = File::open(path)?;
    let Some(Found { about, places, end, dropped: _ }) = Found::read(&file, MAGIC)? else {
        return Ok(Vec::new());
    };
    let mut texts = vec![format!("{about:?}")];
    let length = file.metadata()?.len();
    let mut reader = Reader { input: BufReader::new(&file), at: 0, length };
    reader.input.rewind()?;
    reader.bytes(MAGIC.len())?;
    reader.record()?;
    while reader.at < end {
        let payload = reader.record()?.unwrap_or_default();
        texts.push(match (removed(&payload), Row::decode(&payload)) {
            (Some(name), _) => format!("removed {name:?}"),
            (None, Some(row)) => format!("{row:?}"),
            (None, None) => format!("{payload:?}"),
        });
    }
    assert_eq!(reader.at, end, "a record reaches over the end");
    let found: Vec<Place> = places.values().copied().collect();
    // It is kept, so that its file is left to the target.
    let journal = Journal { path: path.to_owned(), file, end, places, begun: true, keep: true };
    for place in found {
        let row = format!("{:?}", journal.row(place)?);
        assert!(texts.contains(&row), "{row} is in no record");
    }
    Ok(texts)
}
