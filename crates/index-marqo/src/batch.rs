//! Splits the documents of one call into requests that a Marqo server accepts.

use super::payload::Payload;

/// Upper bounds of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) documents: usize,
    /// Bytes of the documents' JSON, with a comma after each.
    pub(super) bytes: usize,
    /// Sum of the documents' weights: 1 + number of variants.
    pub(super) complexity: usize,
}

/// Consecutive groups within the bounds; a document that alone exceeds them is its own group.
pub(super) fn cut<'a>(payloads: &'a [Payload<'a>], bounds: Bounds) -> Vec<Vec<&'a Payload<'a>>> {
    let mut groups: Vec<Vec<&Payload<'_>>> = Vec::new();
    let (mut bytes, mut complexity) = (0, 0);
    for payload in payloads {
        bytes += payload.json.len() + 1;
        complexity += payload.complexity;
        match groups.last_mut() {
            Some(group)
                if group.len() < bounds.documents
                    && bytes <= bounds.bytes
                    && complexity <= bounds.complexity =>
            {
                group.push(payload);
            }
            _ => {
                groups.push(vec![payload]);
                (bytes, complexity) = (payload.json.len() + 1, payload.complexity);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::model::DocumentId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bounds_hold_and_requests_are_as_large_as_they_allow(
            sizes in prop::collection::vec((0usize..50, 1usize..30), 0..60),
            documents in 1usize..20,
            bytes in 1usize..300,
            complexity in 1usize..80,
        ) {
            let id = DocumentId::new("x").unwrap();
            let json = [b'x'; 50];
            let payloads: Vec<Payload<'_>> = sizes
                .iter()
                .enumerate()
                .map(|(at, (size, complexity))| {
                    Payload { json: &json[..*size], complexity: *complexity, ..Payload::removal(at, &id) }
                })
                .collect();
            let groups = cut(&payloads, Bounds { documents, bytes, complexity });
            let positions: Vec<usize> = groups.iter().flatten().map(|payload| payload.at).collect();
            prop_assert_eq!(positions, (0..sizes.len()).collect::<Vec<_>>());
            let fits = |group: &[&Payload<'_>]| {
                group.len() <= documents
                    && group.iter().map(|payload| payload.json.len() + 1).sum::<usize>() <= bytes
                    && group.iter().map(|payload| payload.complexity).sum::<usize>() <= complexity
            };
            for (at, group) in groups.iter().enumerate() {
                prop_assert!(fits(group) || group.len() == 1);
                if let Some(next) = groups.get(at + 1) {
                    let mut larger = group.clone();
                    larger.push(next[0]);
                    prop_assert!(!fits(&larger));
                }
            }
        }
    }
}
