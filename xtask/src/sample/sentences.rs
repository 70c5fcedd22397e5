//! The sentences of English descriptions. Their slots are filled for each product: `{n}` is the noun, `{m}` the
//! material, `{b}` the brand, `{u}` a use, `{d}` a number.

/// Sentences that fit any product.
pub(crate) static SENTENCES: &[&str] = &[
    "The {m} {n} from {b}: made for {u}, and it shows in every detail.",
    "We spent {d} months on the pattern before we were happy with it.",
    "{b} has worked with the same family-run workshop since 1987.",
    "It's the one you'll reach for again and again.",
    "Each piece is checked by hand before it leaves the workshop.",
    "It's made in a village where everybody knows everybody.",
    "Designed in Malmö, made in small batches in the north of Portugal.",
    "Pair it with anything else from the {b} range.",
    "The {m} comes from certified sources and can be traced back to the mill.",
    "Free returns within {d} days, no questions asked.",
    "A clean look, honest materials and no logo on the outside.",
    "“The best {n} I have owned so far” – a customer from Zürich.",
    "Whether for {u} or simply because you like it: you won't regret it.",
    "Colours may look slightly different on your screen.",
    "Ships in a recycled box without plastic.",
    "With a little care it will last for decades, and we will gladly repair it when it doesn't.",
    "{b} gives 1% of every sale to a local nature trust.",
    "Why we love it: the {n} looks as good after {d} years as on the first day.",
];

/// Headings between blocks.
pub(crate) static HEADINGS: &[&str] = &[
    "Why you'll love it",
    "Details",
    "Materials & care",
    "Size and fit",
    "What's in the box",
    "Shipping",
    "Our promise",
    "Technical data",
    "FAQ",
];

/// Short facts for lists.
pub(crate) static FACTS: &[&str] = &[
    "{m}, 100% traceable",
    "Weight: {d}0 g",
    "Developed and tested by {b}",
    "Made for {u}",
    "Width {d} cm < 60 cm, so it fits every shelf",
    "EcoMade® certified",
    "Packed without plastic",
    "Spare parts available for {d} years",
    "Keep below {d} °C",
    "CO₂-neutral shipping",
    "Vegan",
    "Gift box included",
];

/// Name and value of specification tables.
pub(crate) static SPECIFICATIONS: &[(&str, &str)] = &[
    ("Material", "{m}"),
    ("Brand", "{b}"),
    ("Best for", "{u}"),
    ("Length", "{d} cm"),
    ("Weight", "{d}5 g"),
    ("Warranty", "{d} years"),
    ("Country of origin", "Portugal"),
    ("Article", "{b}-{d}"),
];

/// Alternative texts of pictures.
pub(crate) static ALTS: &[&str] =
    &["front view", "back view", "close-up", "detail", "in use", "packaging", "size chart", "all colours"];
