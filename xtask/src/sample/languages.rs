//! Products in other languages and scripts, as international shops have them.

/// The words from which titles, options and descriptions in one language are made.
#[derive(Debug)]
pub(crate) struct Language {
    /// Number of products in this language per 10,000.
    pub(crate) share: u32,
    pub(crate) adjectives: &'static [&'static str],
    pub(crate) nouns: &'static [&'static str],
    pub(crate) sentences: &'static [&'static str],
    /// The names of up to three options.
    pub(crate) axes: [&'static str; 3],
    /// What is between adjective and noun.
    pub(crate) space: &'static str,
}

/// All languages besides English.
pub(crate) static LANGUAGES: &[Language] = &[
    Language {
        share: 250,
        adjectives: &["Handgefertigte", "Warme", "Große", "Leichte", "Schöne"],
        nouns: &["Wolldecke", "Kaffeetasse", "Umhängetasche", "Fußmatte", "Regenjacke", "Tischlampe"],
        sentences: &[
            "Unsere Lieblingsstücke entstehen in kleiner Auflage und mit viel Liebe zum Detail.",
            "Für draußen und drinnen, für große und kleine Füße.",
            "Pflegehinweis: bei 30 °C waschen, nicht in den Trockner geben.",
            "Größe und Gewicht können geringfügig abweichen.",
        ],
        axes: ["Größe", "Farbe", "Ausführung"],
        space: " ",
    },
    Language {
        share: 150,
        adjectives: &["Élégant", "Léger", "Brodé", "Côtelé", "Naturel"],
        nouns: &["Pull", "Coussin", "Sac à dos", "Plaid", "Vide-poche"],
        sentences: &[
            "Fabriqué à la main dans notre atelier, à deux pas de la forêt.",
            "L’essayer, c’est l’adopter : une matière douce qui ne gratte pas.",
            "Lavage à froid conseillé ; ne pas sécher en machine.",
            "Livré dans une boîte cadeau où rien n’est jeté.",
        ],
        axes: ["Taille", "Couleur", "Modèle"],
        space: " ",
    },
    Language {
        share: 100,
        adjectives: &["軽量", "やわらかい", "手作りの", "大きな"],
        nouns: &["トートバッグ", "マグカップ", "ウールブランケット", "レインコート"],
        sentences: &[
            "毎日の暮らしに寄り添う、長く使えるものを作りました。",
            "素材はすべて天然で、肌にやさしい仕上がりです。",
            "サイズは約３０×４０センチ、重さは２５０グラムです。",
            "ギフトにもおすすめです🎁。",
        ],
        axes: ["サイズ", "カラー", "タイプ"],
        space: "",
    },
    Language {
        share: 50,
        adjectives: &["轻便", "保暖", "手工", "防水"],
        nouns: &["双肩背包", "羊毛围巾", "陶瓷茶杯", "露营帐篷"],
        sentences: &[
            "采用优质面料，柔软舒适，经久耐用。",
            "适合日常通勤与户外旅行。",
            "如有质量问题，三十天内可免费退换。",
        ],
        axes: ["尺码", "颜色", "款式"],
        space: "",
    },
    Language {
        share: 40,
        adjectives: &["قطني", "خفيف", "كلاسيكي"],
        nouns: &["قميص", "حقيبة ظهر", "مصباح طاولة", "بطانية"],
        sentences: &[
            "صُنع بعناية من خامات طبيعية تدوم طويلاً.",
            "مناسب للاستخدام اليومي وللسفر (حتى 20 كجم).",
            "يُغسل بالماء البارد فقط.",
        ],
        axes: ["المقاس", "اللون", "الطراز"],
        space: " ",
    },
    Language {
        share: 30,
        adjectives: &["קלאסי", "רך", "חדש"],
        nouns: &["תיק גב", "סוודר", "כרית נוי"],
        sentences: &["עבודת יד מחומרים טבעיים בלבד.", "מתאים לשימוש יומיומי, גודל 40×40 ס״מ."],
        axes: ["מידה", "צבע", "דגם"],
        space: " ",
    },
];
