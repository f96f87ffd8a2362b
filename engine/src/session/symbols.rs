//! From a symbol's text to its place in a session, without a general hash.

/// A small open-addressing table over the venue's own names.
#[derive(Debug, Default)]
pub struct SymbolTable {
    names: Vec<Box<str>>,
    /// Index + 1 into `names`; 0 is free. A power of two, at most half full.
    slots: Vec<u32>,
}

impl SymbolTable {
    /// Adds a name and answers with its index; a known name keeps its index.
    pub fn insert(&mut self, name: &str) -> usize {
        if let Some(index) = self.get(name) {
            return index;
        }
        self.names.push(name.into());
        if self.names.len() * 2 > self.slots.len() {
            self.slots = vec![0; (self.names.len() * 4).next_power_of_two()];
            for index in 0..self.names.len() {
                self.place(index);
            }
        } else {
            self.place(self.names.len() - 1);
        }
        self.names.len() - 1
    }

    fn place(&mut self, index: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = hash(self.names[index].as_bytes()) as usize & mask;
        while self.slots[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = index as u32 + 1;
    }

    /// The index of a name.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash(name.as_bytes()) as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return None,
                found if &*self.names[found as usize - 1] == name => return Some(found as usize - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// The name of an index.
    #[must_use]
    pub fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("", |name| name)
    }

    /// Names known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// First and last eight bytes and the length: enough to tell the names of a venue apart, mostly.
#[inline]
fn hash(name: &[u8]) -> u64 {
    let word = |bytes: &[u8]| {
        let mut word = [0u8; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let head = word(&name[..name.len().min(8)]);
    let tail = word(&name[name.len().saturating_sub(8)..]);
    let mixed = (head ^ tail.rotate_left(23) ^ name.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_name_and_no_other() {
        let mut table = SymbolTable::default();
        assert_eq!(table.get("BTC"), None);
        let names: Vec<String> = (0..1000).map(|n| format!("SYM{n}USDT")).collect();
        for (index, name) in names.iter().enumerate() {
            assert_eq!(table.insert(name), index);
        }
        assert_eq!(table.insert("SYM7USDT"), 7);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(table.get(name), Some(index));
        }
        assert_eq!(table.get("SYM1000USDT"), None);
        assert_eq!(table.get(""), None);
        assert_eq!(table.get("币安人生USDT"), None);
    }
}
