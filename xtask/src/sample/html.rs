//! Descriptions in HTML as merchants really write them: blocks, pasted styles, entities, line breaks without blanks,
//! and now and then a script, a comment or the markup of a word processor.
//!
//! `chance(n)` is true in n of 10,000 cases.

use crate::sample::product::Product;
use crate::sample::rng::Rng;
use crate::sample::sentences::{FACTS, HEADINGS, SENTENCES, SPECIFICATIONS};

/// Habits of the merchant who wrote a description.
#[derive(Debug)]
struct Habits {
    /// No tags at all, line breaks only.
    plain: bool,
    /// `style="…"` on most blocks.
    styles: bool,
    /// `data-…` attributes, as an editor leaves them.
    data: bool,
    /// Entities instead of characters.
    entities: bool,
    /// Non-breaking spaces (U+00A0) between words.
    hard_spaces: bool,
    emoji: bool,
    /// Invisible characters that were pasted with the text.
    invisible: bool,
    /// What is between two blocks.
    line_end: &'static str,
}

impl Habits {
    fn of(rng: &mut Rng) -> Self {
        Self {
            plain: rng.chance(450),
            styles: rng.chance(3_800),
            data: rng.chance(900),
            entities: rng.chance(3_300),
            hard_spaces: rng.chance(1_900),
            emoji: rng.chance(160),
            invisible: rng.chance(110),
            line_end: match rng.below(1_000) {
                0..=3 => "\r\n",
                4..=600 => "\n",
                _ => "",
            },
        }
    }
}

/// Replaces `out` by a description of about `length` bytes; an empty one for a length of 0. A lean one is a single
/// paragraph.
pub(crate) fn describe(out: &mut String, rng: &mut Rng, product: &Product, length: usize, lean: bool) {
    out.clear();
    if length == 0 {
        return;
    }
    let habits = Habits::of(rng);
    let mut writer = Writer { out, rng, product, habits };
    if lean {
        writer.out.push_str("<p>");
        writer.sentence();
        while writer.out.len() < length {
            writer.out.push(' ');
            writer.sentence();
        }
        writer.out.push_str("</p>");
        return;
    }
    if writer.habits.plain {
        while writer.out.len() < length {
            writer.sentence();
            writer.out.push_str(if writer.rng.chance(4_000) { "\n\n" } else { " " });
        }
        return;
    }
    if writer.rng.chance(12) {
        writer.out.push_str("<p><img src=\"https://cdn.shop.example/s/files/banner_01.jpg\" alt=\"\" /></p>");
        return;
    }
    writer.oddities();
    while writer.out.len() < length {
        writer.block();
        let line_end = writer.habits.line_end;
        writer.out.push_str(line_end);
    }
}

struct Writer<'run> {
    out: &'run mut String,
    rng: &'run mut Rng,
    product: &'run Product,
    habits: Habits,
}

impl Writer<'_> {
    /// Writes what may precede the text, such as a style sheet or a comment.
    fn oddities(&mut self) {
        if self.rng.chance(700) {
            self.out.push_str("<meta charset=\"utf-8\">");
        }
        match self.rng.below(10_000) {
            0..=119 => self.out.push_str(
                "<style><!--\n.pd-box { margin: 0 auto; max-width: 640px }\n.pd-box > p { color: #333 }\n--></style>",
            ),
            120..=299 => self.out.push_str("<!-- product text v2, do not edit > ask marketing -->"),
            300..=329 => self.out.push_str("<script>if (1 < 2 && window.top) { window.shown = '<p>no text</p>'; }</script>"),
            330..=359 => {
                self.out.push_str("<iframe src=\"https://video.example/embed/1?rel=0&amp;autoplay=0\" width=\"560\"></iframe>");
            }
            360..=409 => self.out.push_str(
                "<p class=\"MsoNormal\" style=\"mso-fareast-font-family: 'Times New Roman'\">Nice &amp;amp;amp; warm<o:p></o:p></p>",
            ),
            410..=420 => self.out.push_str("<video controls src=\"https://cdn.shop.example/v/1.mp4\"></video>"),
            _ => {}
        }
    }

    /// Writes a block: a paragraph, list, heading or table.
    fn block(&mut self) {
        match self.rng.below(100) {
            0..=47 => self.paragraph(),
            48..=64 => self.list(),
            65..=73 => {
                let heading = self.rng.pick(HEADINGS);
                self.open("h3");
                self.text(heading);
                self.out.push_str("</h3>");
            }
            74..=83 => {
                self.open("div");
                self.sentence();
                // Sentences that only a tag separates, without a blank.
                for _ in 0..2 {
                    self.out.push_str(if self.habits.entities { "<br />" } else { "<br>" });
                    self.sentence();
                }
                self.out.push_str("</div>");
            }
            84..=91 => {
                self.open("p");
                self.out.push_str("<strong>");
                self.sentence();
                self.out.push_str("</strong><span> </span>");
                self.sentence();
                self.out.push_str("</p>");
            }
            92..=94 => self.table(),
            95..=97 => {
                self.open("p");
                self.out.push_str("<a href=\"https://demo.myshopify.com/collections/all?sort=new&amp;page=1\" target=\"_blank\">");
                self.text("See the whole range");
                self.out.push_str("</a></p>");
            }
            _ => {
                self.open("p");
                self.out.push_str("&nbsp;</p>");
            }
        }
    }

    fn paragraph(&mut self) {
        self.open("p");
        if self.habits.emoji {
            let emoji = self.rng.pick(&["✅ ", "🔥", "👉🏽 ", "❄️ ", "🏔️"]);
            self.out.push_str(emoji);
        }
        for number in 0..self.rng.between(1, 4) {
            if number > 0 {
                self.out.push(' ');
            }
            self.sentence();
        }
        self.out.push_str("</p>");
    }

    fn list(&mut self) {
        self.open("ul");
        for _ in 0..self.rng.between(3, 6) {
            let fact = self.rng.pick(FACTS);
            self.open("li");
            self.fill(fact);
            self.out.push_str("</li>");
        }
        self.out.push_str("</ul>");
    }

    fn table(&mut self) {
        self.out.push_str("<table><tbody>");
        for _ in 0..self.rng.between(2, 5) {
            let (name, value) = self.rng.pick(SPECIFICATIONS);
            self.out.push_str("<tr><td>");
            self.text(name);
            self.out.push_str("</td><td>");
            self.fill(value);
            self.out.push_str("</td></tr>");
        }
        self.out.push_str("</tbody></table>");
    }

    /// Writes an opening tag, with attributes as the merchant's editor adds them.
    fn open(&mut self, tag: &str) {
        self.out.push('<');
        self.out.push_str(tag);
        if self.habits.styles && self.rng.chance(5_000) {
            let style = self.rng.pick(&[
                " style=\"text-align: left;\"",
                " style=\"font-weight: 400; color: #2b2b2b;\"",
                " style=\"margin: 0px; font-family: 'Open Sans', sans-serif;\"",
            ]);
            self.out.push_str(style);
        }
        if self.habits.data && self.rng.chance(6_000) {
            self.out.push_str(" data-mce-fragment=\"1\" data-note=\"a > b\"");
        }
        self.out.push('>');
    }

    fn sentence(&mut self) {
        let sentences = match self.product.language {
            Some(language) => language.sentences,
            None if self.rng.chance(3_500) => self.product.department.sentences,
            None => SENTENCES,
        };
        let sentence = self.rng.pick(sentences);
        self.fill(sentence);
    }

    /// Writes a sentence with its slots filled.
    fn fill(&mut self, template: &str) {
        let mut rest = template;
        while let Some((before, slot)) = rest.split_once('{') {
            self.text(before);
            match slot.as_bytes().first() {
                Some(b'n') => self.text(&self.product.noun),
                Some(b'm') => self.text(self.product.material),
                Some(b'b') => self.text(self.product.brand),
                Some(b'u') => {
                    let purpose = self.rng.pick(self.product.department.uses);
                    self.text(purpose);
                }
                _ => {
                    let number = self.rng.between(3, 48).to_string();
                    self.out.push_str(&number);
                }
            }
            rest = slot.get(2..).unwrap_or_default();
        }
        self.text(rest);
    }

    /// Writes text, with entities and invisible characters as the merchant's habits have it.
    fn text(&mut self, text: &str) {
        let hard = self.habits.hard_spaces && self.rng.chance(800);
        if hard {
            self.out.push_str(if self.habits.entities { "&nbsp;" } else { "\u{a0}" });
        }
        if self.habits.invisible && self.rng.chance(2_000) {
            let invisible = self.rng.pick(&["\u{200b}", "\u{feff}", "\u{200d}", "\u{ad}"]);
            self.out.push_str(invisible);
        }
        if self.habits.plain {
            self.out.push_str(text);
            return;
        }
        let mut copied = 0;
        for (at, character) in text.char_indices() {
            let entity = match character {
                '&' => "&amp;",
                '<' => "&lt;",
                '\'' if self.habits.entities => "&rsquo;",
                '–' if self.habits.entities => "&ndash;",
                '®' if self.habits.entities => "&reg;",
                'ö' if self.habits.entities => "&ouml;",
                'é' if self.habits.entities => "&#233;",
                '°' if self.habits.entities => "&#xB0;",
                _ => continue,
            };
            self.out.push_str(&text[copied..at]);
            self.out.push_str(entity);
            copied = at + character.len_utf8();
        }
        self.out.push_str(&text[copied..]);
    }
}
