//! Files of candles that survive in memory.

use codec::candle::Candle;
use codec::words::Interval;
use engine::history::{CandleFiles, Loaded, SeriesName};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Files that survive in memory.
pub type Stored = Arc<Mutex<HashMap<(String, Interval), (u64, Vec<Candle>)>>>;

/// See [`Stored`].
pub struct MemoryFiles(pub Stored);

impl CandleFiles for MemoryFiles {
    fn load(&mut self, name: SeriesName<'_>) -> Loaded {
        let stored = self.0.lock().unwrap();
        let found = stored.get(&(name.symbol.to_owned(), name.interval));
        let (origin_ms, rows) = found.cloned().unwrap_or_default();
        let written = rows.len();
        let by_start: BTreeMap<_, _> = rows.into_iter().map(|row| (row.start_ms, row)).collect();
        Loaded { rows: by_start.into_values().collect(), origin_ms, written, ..Loaded::default() }
    }

    fn append(&mut self, name: SeriesName<'_>, rows: &[Candle]) -> std::io::Result<()> {
        let mut stored = self.0.lock().unwrap();
        stored.entry((name.symbol.to_owned(), name.interval)).or_default().1.extend_from_slice(rows);
        Ok(())
    }

    fn replace(&mut self, name: SeriesName<'_>, origin_ms: u64, rows: &[Candle]) -> std::io::Result<()> {
        let mut stored = self.0.lock().unwrap();
        stored.insert((name.symbol.to_owned(), name.interval), (origin_ms, rows.to_vec()));
        Ok(())
    }
}
