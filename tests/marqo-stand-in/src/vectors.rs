//! Splits texts into chunks and makes vectors of them in place of a model's embeddings: the same vector for the same
//! text, with as many numbers as the index has, scaled to the length 1.

use crate::random::{Random, hash};
use serde_json::Value;

/// A chunk of a tensor field and where its vector comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facet {
    pub(crate) field: String,
    pub(crate) chunk: String,
    /// The vector that the client sent; `None`: it is made from the chunk when it is read.
    pub(crate) given: Option<Vec<f32>>,
}

impl Facet {
    /// The vector as JSON.
    pub(crate) fn vector(&self, dimension: usize) -> Value {
        let made;
        let vector = match &self.given {
            Some(given) => given,
            None => {
                made = embed(&self.chunk, dimension);
                &made
            }
        };
        vector.iter().map(|&number| Value::from(f64::from(number))).collect()
    }
}

/// A vector that depends on nothing but the text.
fn embed(text: &str, dimension: usize) -> Vec<f32> {
    let mut random = Random::new(hash(text));
    let numbers: Vec<f64> = (0..dimension).map(|_| random.share() * 2.0 - 1.0).collect();
    normalised(&numbers).unwrap_or_else(|| vec![0.0; dimension])
}

/// The vector scaled to the length 1, with 32-bit numbers; `None` for a vector of zeros.
pub(crate) fn normalised(numbers: &[f64]) -> Option<Vec<f32>> {
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    (length > 0.0).then(|| numbers.iter().map(|number| (number / length) as f32).collect())
}

/// How an index splits text into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) method: SplitMethod,
    /// Parts (sentences, words, characters or passages) in a chunk.
    pub(crate) length: usize,
    /// Parts that a chunk has in common with the next one.
    pub(crate) overlap: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SplitMethod {
    Sentence,
    Word,
    Character,
    Passage,
}

impl Split {
    /// The chunks of a text.
    pub(crate) fn chunks(self, text: &str) -> Vec<String> {
        let (parts, separator): (Vec<String>, &str) = match self.method {
            SplitMethod::Sentence => (sentences(text), " "),
            SplitMethod::Word => (text.split(' ').map(str::to_owned).collect(), " "),
            SplitMethod::Character => (text.chars().map(String::from).collect(), ""),
            SplitMethod::Passage => (text.split("\n\n").map(str::to_owned).collect(), " "),
        };
        if parts.len() <= self.length {
            return vec![text.to_owned()];
        }
        let step = self.length.saturating_sub(self.overlap).max(1);
        let starts = (0..parts.len()).step_by(step);
        starts.map(|start| parts[start..(start + self.length).min(parts.len())].join(separator)).collect()
    }
}

/// The sentences of a text: each ends with `.`, `!` or `?` before white space.
fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for (end, pair) in text.as_bytes().windows(2).enumerate() {
        if matches!(pair[0], b'.' | b'!' | b'?') && pair[1].is_ascii_whitespace() {
            sentences.push(text[start..=end].trim().to_owned());
            start = end + 2;
        }
    }
    let rest = text[start..].trim();
    if !rest.is_empty() {
        sentences.push(rest.to_owned());
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_always_has_the_same_vector_and_its_length_is_one() {
        let vector = embed("a mug", 32);
        assert_eq!(vector, embed("a mug", 32));
        assert_ne!(vector, embed("a cup", 32));
        let length: f32 = vector.iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }

    #[test]
    fn texts_are_split_by_sentences_and_by_words() {
        let split = Split { method: SplitMethod::Sentence, length: 2, overlap: 0 };
        assert_eq!(split.chunks("One. Two! Three? Four"), ["One. Two!", "Three? Four"]);
        assert_eq!(split.chunks("No end"), ["No end"]);
        assert_eq!(split.chunks(""), [""]);
        let words = Split { method: SplitMethod::Word, length: 2, overlap: 1 };
        assert_eq!(words.chunks("a b c"), ["a b", "b c", "c"]);
    }
}
