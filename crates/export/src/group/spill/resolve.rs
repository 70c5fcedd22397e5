//! References to ids meet the lines that define them.

use super::links::Link;
use crate::{
    ExportError,
    group::id_hash,
    sort::{Frame, Sorted, Sorter},
};

/// What a line does with an id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Names it as its parent's.
    Reference,
    /// Has it and is part of another line's product.
    Child,
    /// Has it and begins a product: the how manieth in the export.
    Root { ordinal: u64 },
}

/// Writes down what a line does with an id.
pub(super) fn mention(mentions: &mut Sorter, id: &str, line: u64, role: Role) -> Result<(), ExportError> {
    // 48 bits are shorter to write; the id itself tells those apart that share them.
    let key = id_hash(id) >> 16;
    let (role, ordinal) = match role {
        Role::Reference => (0, 0),
        Role::Child => (1, 0),
        Role::Root { ordinal } => (2, ordinal),
    };
    mentions.push(Frame { key, a: line * 3 + role, b: ordinal, body: id.as_bytes() })
}

/// Gives each root and each child the link that it has at first sight. The mentions of an id come in the order of
/// their lines.
pub(super) fn resolve(mut mentions: Sorted, links: &mut Sorter) -> Result<(), ExportError> {
    let mut key = 0;
    // Almost always one; more if different ids share a key.
    let mut namesakes: Vec<Namesake> = Vec::new();
    while mentions.advance()? {
        let mention = mentions.frame();
        if mention.key != key {
            key = mention.key;
            for namesake in namesakes.drain(..) {
                namesake.finish(links)?;
            }
        }
        let at = namesakes.iter().position(|namesake| namesake.id == mention.body).unwrap_or_else(|| {
            namesakes.push(Namesake::new(mention.body));
            namesakes.len() - 1
        });
        let line = mention.a / 3;
        match mention.a % 3 {
            0 => namesakes[at].refer(line, links)?,
            1 => namesakes[at].define(line, Link::Line(line), links)?,
            _ => namesakes[at].define_root(line, mention.b, links)?,
        }
    }
    namesakes.into_iter().try_for_each(|namesake| namesake.finish(links))
}

/// The lines that have the same id, as far as they have come.
struct Namesake {
    id: Vec<u8>,
    /// Ordinal of the first root.
    product: Option<u64>,
    /// What a reference means now.
    meaning: Option<Link>,
    /// References that came before any definition.
    waiting: Vec<u64>,
}

impl Namesake {
    fn new(id: &[u8]) -> Self {
        Self { id: id.to_owned(), product: None, meaning: None, waiting: Vec::new() }
    }

    fn refer(&mut self, line: u64, links: &mut Sorter) -> Result<(), ExportError> {
        match self.meaning {
            Some(link) => links.push(link.frame(line)),
            None => {
                self.waiting.push(line);
                Ok(())
            }
        }
    }

    fn define(&mut self, line: u64, meaning: Link, links: &mut Sorter) -> Result<(), ExportError> {
        self.meaning = Some(meaning);
        // A line that names itself as its parent waits on for another of that name.
        let (own, others): (Vec<u64>, Vec<u64>) =
            self.waiting.drain(..).partition(|waiting| *waiting == line);
        self.waiting = own;
        others.into_iter().try_for_each(|waiting| links.push(meaning.frame(waiting)))
    }

    fn define_root(&mut self, line: u64, ordinal: u64, links: &mut Sorter) -> Result<(), ExportError> {
        let product = *self.product.get_or_insert(ordinal);
        links.push(Link::Root(product).frame(line))?;
        self.define(line, Link::Product(product), links)
    }

    fn finish(self, links: &mut Sorter) -> Result<(), ExportError> {
        self.waiting.into_iter().try_for_each(|line| links.push(Link::Nowhere.frame(line)))
    }
}
