//! New inputs from kept ones, the same for the same seed: bytes and words changed, moved and mixed; values of JSON
//! exchanged.

use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Texts at the edges of what anything can hold.
const EDGES: [&str; 22] = [
    "0",
    "-1",
    "1",
    "255",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-0.0",
    "NaN",
    "inf",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\u{feff}",
    "\u{1b}[31m",
    "hunter2hunter2",
];

/// Makes inputs.
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    state: u64,
}

impl Mutator {
    /// `name` is the seed of all choices.
    pub fn new(name: &str, seeds: Vec<Vec<u8>>) -> Self {
        let mut words: BTreeSet<Vec<u8>> = EDGES.iter().map(|edge| edge.as_bytes().to_vec()).collect();
        for seed in &seeds {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let runs = seed.chunk_by(|a, b| is_word(*a) == is_word(*b));
            words.extend(runs.filter(|run| run.len() <= 32).map(<[u8]>::to_vec));
        }
        Self {
            seeds,
            words: words.into_iter().collect(),
            state: name.bytes().fold(7, |state, byte| state * 31 + u64::from(byte)),
        }
    }

    /// The next input.
    pub fn next(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        for _ in 0..1 + self.below(4) {
            let changed = match self.below(3) {
                0 => self.json(&input),
                _ => None,
            };
            match changed {
                Some(changed) => input = changed,
                None => self.bytes(&mut input),
            }
        }
        input.truncate(16 * 1024);
        input
    }

    /// SplitMix64: every seed gives a different, even sequence.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random() % end.max(1) as u64) as usize
    }

    fn seed(&mut self) -> Vec<u8> {
        let index = self.below(self.seeds.len());
        self.seeds[index].clone()
    }

    fn word(&mut self) -> Vec<u8> {
        let index = self.below(self.words.len());
        self.words[index].clone()
    }

    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(most + 1)).min(length)
    }

    fn bytes(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.random() as u8,
            2 => drop(input.drain(self.range(input.len(), 16))),
            3 => {
                let word = self.word();
                input.splice(at..at, word);
            }
            // A word in the place of another.
            4 => {
                let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
                let start = input[..at]
                    .iter()
                    .rposition(|byte| !is_word(byte))
                    .map_or(0, |start| start + 1);
                let end = input[at..]
                    .iter()
                    .position(|byte| !is_word(byte))
                    .map_or(input.len(), |end| at + end);
                let word = self.word();
                input.splice(start..end, word);
            }
            5 => {
                let part = input[self.range(input.len(), 64)].to_vec();
                let most = if self.below(20) == 0 { 200 } else { 3 };
                let times = 1 + self.below(most);
                input.splice(at..at, part.repeat(times));
            }
            6 => {
                let other = self.seed();
                let part = other[self.range(other.len(), 256)].to_vec();
                input.splice(at..at, part);
            }
            7 => input.truncate(at),
            _ => {
                let (from, to) = (self.range(input.len(), 64), at);
                let part = input[from.clone()].to_vec();
                input.splice(to..to, part);
            }
        }
    }

    /// Exchanges one value anywhere in a JSON text.
    fn json(&mut self, input: &[u8]) -> Option<Vec<u8>> {
        let mut root: Value = serde_json::from_slice(input).ok()?;
        self.descend(&mut root);
        serde_json::to_vec(&root).ok()
    }

    /// Down to a value, at each step with some chance to stay.
    fn descend(&mut self, node: &mut Value) {
        let stay = self.below(4) == 0;
        match node {
            Value::Array(list) if !stay && !list.is_empty() => {
                let index = self.below(list.len());
                self.descend(&mut list[index]);
            }
            Value::Object(map) if !stay && !map.is_empty() => {
                let index = self.below(map.len());
                map.values_mut()
                    .nth(index)
                    .into_iter()
                    .for_each(|value| self.descend(value));
            }
            node => self.exchange(node),
        }
    }

    fn exchange(&mut self, node: &mut Value) {
        match (self.below(5), &mut *node) {
            (0, Value::Array(list)) if !list.is_empty() => {
                let copy = list[self.below(list.len())].clone();
                list.push(copy);
            }
            (1, Value::Array(list)) if !list.is_empty() => drop(list.remove(self.below(list.len()))),
            (0, Value::Object(map)) if !map.is_empty() => {
                let copy = map.values().nth(self.below(map.len())).cloned().unwrap_or_default();
                let word = self.word();
                map.insert(String::from_utf8_lossy(&word).into_owned(), copy);
            }
            (1, Value::Object(map)) if !map.is_empty() => {
                let key = map.keys().nth(self.below(map.len())).cloned().unwrap_or_default();
                map.remove(&key);
            }
            (2, _) => {
                let deep = (0..self.below(140)).fold(json!(1), |inner, _| json!([inner]));
                *node = deep;
            }
            _ => {
                let edge = EDGES[self.below(EDGES.len())];
                *node = serde_json::from_str(edge).unwrap_or_else(|_| edge.into());
            }
        }
    }
}
