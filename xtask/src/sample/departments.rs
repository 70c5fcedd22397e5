//! The vocabulary of the sample shop's products, by department. Every brand is invented.

/// An axis along which variants of a product differ: the name of an option and its values, such as `Size`, from `XXS`
/// up.
#[derive(Debug)]
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) values: &'static [&'static str],
    /// Whether a product has neighbouring values (sizes) instead of any (colours).
    pub(crate) ordered: bool,
}

/// A kind of product.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) noun: &'static str,
    pub(crate) product_type: &'static str,
    /// Lowest and highest usual price, in whole units of the currency.
    pub(crate) prices: (u32, u32),
    /// Id in Shopify's product taxonomy, and the last part of the category's name.
    pub(crate) category: (&'static str, &'static str),
    pub(crate) materials: &'static [&'static str],
    /// The first option. With the two of the department it has at least 2,048 combinations, Shopify's limit of
    /// variants.
    pub(crate) sizes: &'static Axis,
}

/// A department of the shop.
#[derive(Debug)]
pub(crate) struct Department {
    /// First part of the category's name in Shopify's product taxonomy.
    pub(crate) category: &'static str,
    pub(crate) brands: &'static [&'static str],
    pub(crate) kinds: &'static [Kind],
    pub(crate) adjectives: &'static [&'static str],
    pub(crate) uses: &'static [&'static str],
    pub(crate) tags: &'static [&'static str],
    /// Sentences for descriptions, with the slots that the module `sentences` lists.
    pub(crate) sentences: &'static [&'static str],
    /// The second and third option.
    pub(crate) axes: [&'static Axis; 2],
}

#[rustfmt::skip]
static COLORS: Axis = Axis {
    name: "Color",
    values: &[
        "Black", "White", "Navy", "Sand", "Olive", "Charcoal", "Rust", "Forest Green", "Off-White", "Sky Blue", "Burgundy", "Mustard",
        "Dusty Rose", "Heather Grey", "Terracotta", "Sage", "Midnight", "Ecru", "Café", "Coral", "Plum", "Teal", "Camel", "Stone/Black",
    ],
    ordered: false,
};
#[rustfmt::skip]
static SCENTS: Axis = Axis {
    name: "Scent",
    values: &[
        "Lavender", "Bergamot", "Cedar", "Rosemary", "Fig", "Neroli", "Vetiver", "Sea Salt", "Rose", "Mint", "Eucalyptus", "Vanilla",
        "Sandalwood", "Grapefruit", "Tonka", "Chamomile", "Ginger", "Pine", "Jasmine", "Oat Milk", "Basil & Lime", "Amber", "Unscented", "Thé Vert",
    ],
    ordered: false,
};
static LETTERS: Axis = Axis {
    name: "Size",
    values: &["XXS", "XS", "S", "M", "L", "XL", "XXL", "3XL", "4XL", "5XL", "6XL", "One Size"],
    ordered: true,
};
#[rustfmt::skip]
static EDGES: Axis = Axis {
    name: "Dimensions",
    values: &[
        "30x50cm", "40x40cm", "45x45cm", "50x50cm", "60x90cm", "80x150cm", "120x170cm", "135x200cm", "140x200cm", "160x230cm",
        "200x220cm", "200x300cm",
    ],
    ordered: true,
};
#[rustfmt::skip]
static SETS: Axis = Axis {
    name: "Set",
    values: &[
        "Single", "Pair", "Set of 3", "Set of 4", "Set of 5", "Set of 6", "Set of 8", "Set of 10", "Set of 12", "Set of 16", "Set of 18",
        "Set of 24",
    ],
    ordered: true,
};
static LITRES: Axis = Axis {
    name: "Capacity",
    values: &[
        "0.5 L", "0.75 L", "1 L", "1.5 L", "5 L", "10 L", "20 L", "28 L", "35 L", "45 L", "55 L", "65 L",
    ],
    ordered: true,
};
#[rustfmt::skip]
static MILLILITRES: Axis = Axis {
    name: "Content",
    values: &[
        "15 ml", "30 ml", "50 ml", "75 ml", "100 ml", "150 ml", "200 ml", "250 ml", "300 ml", "400 ml", "500 ml", "1000 ml",
    ],
    ordered: true,
};
static FITS: Axis = Axis {
    name: "Fit",
    values: &["Regular", "Slim", "Relaxed", "Tall", "Petite", "Oversized", "Athletic", "Cropped"],
    ordered: false,
};
static STYLES: Axis = Axis {
    name: "Style",
    values: &["Plain", "Striped", "Checked", "Ribbed", "Two-Tone", "Dotted", "Woven", "Washed"],
    ordered: false,
};
static VERSIONS: Axis = Axis {
    name: "Version",
    values: &["Standard", "Light", "Pro", "Winter", "Junior", "Expedition", "2024", "2025"],
    ordered: false,
};
static EDITIONS: Axis = Axis {
    name: "Edition",
    values: &["Standard", "Refill", "Gift Box", "Travel", "Limited", "Duo", "Family", "Sample"],
    ordered: false,
};

/// Shorthand for the tables below.
const fn kind(
    noun: &'static str,
    product_type: &'static str,
    prices: (u32, u32),
    category: (&'static str, &'static str),
    materials: &'static [&'static str],
    sizes: &'static Axis,
) -> Kind {
    Kind { noun, product_type, prices, category, materials, sizes }
}

/// All departments.
#[rustfmt::skip]
pub(crate) static DEPARTMENTS: &[Department] = &[
    Department {
        category: "Apparel & Accessories > Clothing",
        brands: &["Norrvik", "Halden & Rye", "Lumen Thread", "Casa Brava", "Maison Élune", "Fieldnote Apparel", "OSTERBY"],
        kinds: &[
            kind("Hoodie", "Hoodies & Sweatshirts", (49, 129), ("aa-1-13-13", "Clothing Tops > Hoodies"), &["Organic Cotton", "Fleece", "Brushed Cotton", "Hemp"], &LETTERS),
            kind("T-Shirt", "T-Shirts", (19, 59), ("aa-1-13-8", "Clothing Tops > T-Shirts"), &["Organic Cotton", "Merino", "Linen", "Tencel"], &LETTERS),
            kind("Overshirt", "Shirts", (69, 169), ("aa-1-13-7", "Clothing Tops > Shirts"), &["Corduroy", "Denim", "Flannel", "Waxed Canvas"], &LETTERS),
            kind("Cardigan", "Knitwear", (79, 219), ("aa-1-13-3", "Clothing Tops > Cardigans"), &["Merino", "Alpaca", "Lambswool", "Cotton"], &LETTERS),
            kind("Rain Jacket", "Jackets", (119, 349), ("aa-1-10-2", "Outerwear > Coats & Jackets"), &["Recycled Nylon", "Waxed Cotton", "Three-Layer"], &LETTERS),
            kind("Wide-Leg Trousers", "Trousers", (69, 189), ("aa-1-12", "Pants"), &["Linen", "Denim", "Wool Twill", "Tencel"], &LETTERS),
            kind("Midi Dress", "Dresses", (79, 249), ("aa-1-4", "Dresses"), &["Linen", "Viscose", "Silk", "Organic Cotton"], &LETTERS),
            kind("Beanie", "Accessories", (19, 49), ("aa-2-17", "Clothing Accessories > Hats"), &["Merino", "Cashmere", "Recycled Wool"], &LETTERS),
            kind("Socks", "Socks", (9, 29), ("aa-1-18", "Underwear & Socks > Socks"), &["Merino", "Bamboo", "Cotton"], &SETS),
            kind("Belt", "Accessories", (39, 99), ("aa-2-6", "Clothing Accessories > Belts"), &["Leather", "Vegan Leather", "Woven Cotton"], &LETTERS),
        ],
        adjectives: &["Everyday", "Heavyweight", "Relaxed", "Classic", "Essential", "Weekend", "Heritage", "Garment-Dyed", "Modern", "Studio"],
        uses: &["long train rides", "the first cold days of the year", "layering", "the office and the weekend", "slow Sunday mornings", "travel"],
        tags: &["new-arrival", "Women", "Men", "Unisex", "season:AW25", "season:SS25", "organic", "made_in_portugal", "sale", "Bestseller", "knitwear", "layers", "size-guide:tops", "gift idea", "vegan", "capsule", "outlet", "plastic-free", "plus-size", "care:30deg"],
        sentences: &[
            "If you are between two sizes, we recommend the larger one.",
            "Soft on the skin from the first day, softer after every wash.",
            "Our model is 1.84 m tall and wears a size M.",
            "Cut a little wider at the shoulders so that the {n} moves with you.",
            "Dyed in small batches, so no two pieces are exactly alike.",
            "Goes with jeans as well as with your best pair of shoes.",
        ],
        axes: [&COLORS, &FITS],
    },
    Department {
        category: "Home & Garden",
        brands: &["Tallgrove", "Kiln & Loom", "Atelier Onze", "Brindle House", "Søndag", "Papaya Studio", "Haus Linde"],
        kinds: &[
            kind("Throw Blanket", "Blankets & Throws", (39, 159), ("hg-15-1-2", "Linens & Bedding > Blankets"), &["Lambswool", "Cotton", "Alpaca", "Recycled Wool"], &EDGES),
            kind("Cushion Cover", "Cushions", (15, 49), ("hg-3-70", "Decor > Throw Pillows"), &["Linen", "Velvet", "Cotton Bouclé", "Corduroy"], &EDGES),
            kind("Duvet Cover", "Bedding", (79, 249), ("hg-15-1-4", "Linens & Bedding > Duvet Covers"), &["Washed Linen", "Percale", "Cotton Satin"], &EDGES),
            kind("Table Lamp", "Lighting", (49, 229), ("hg-13-5", "Lighting > Lamps"), &["Brass", "Stoneware", "Opal Glass", "Rattan"], &SETS),
            kind("Serving Bowl", "Tableware", (24, 89), ("hg-11-10-3", "Kitchen & Dining > Tableware"), &["Stoneware", "Olive Wood", "Porcelain", "Acacia"], &SETS),
            kind("Espresso Cup", "Tableware", (12, 39), ("hg-11-10-4", "Kitchen & Dining > Drinkware"), &["Stoneware", "Porcelain", "Double-Walled Glass"], &SETS),
            kind("Area Rug", "Rugs", (99, 899), ("hg-3-57", "Decor > Rugs"), &["Wool", "Jute", "Recycled PET", "Cotton"], &EDGES),
            kind("Storage Basket", "Storage", (19, 69), ("hg-10-13", "Household Supplies > Storage"), &["Seagrass", "Rattan", "Felt", "Bamboo"], &SETS),
            kind("Candle", "Candles", (14, 49), ("hg-3-32", "Decor > Home Fragrances"), &["Beeswax", "Soy Wax", "Rapeseed Wax"], &SETS),
            kind("Bedside Table", "Furniture", (129, 499), ("fr-24", "Furniture > Tables"), &["Oak", "Walnut", "Powder-Coated Steel", "Ash"], &SETS),
        ],
        adjectives: &["Handmade", "Scandinavian", "Rustic", "Minimal", "Vintage", "Two-Tone", "Modern", "Classic", "Artisan", "Everyday"],
        uses: &["small flats", "long dinners", "the reading corner", "the guest room", "the hallway", "a quiet evening"],
        tags: &["home", "living-room", "Bedroom", "Kitchen", "fair_trade", "handmade", "room:hall", "style:scandi", "style:boho", "gift idea", "sale", "New In", "easy-care", "natural", "bulky", "clearance", "oak", "linen", "wool", "delivery:2-man"],
        sentences: &[
            "Looks at home in an old flat as much as in a new house.",
            "Small irregularities show that your {n} was made by people, not machines.",
            "The colour was mixed for us and changes a little with the light of the day.",
            "Made for everyday life: it may be touched, used and passed on.",
            "Combine two or three of them, it looks even better.",
        ],
        axes: [&COLORS, &STYLES],
    },
    Department {
        category: "Sporting Goods > Outdoor Recreation",
        brands: &["Kestrel Ridge", "Granit Works", "Polar Owl", "Trailhead Supply Co.", "Vandra", "Summit & Sons", "NORDLYS"],
        kinds: &[
            kind("Backpack", "Backpacks", (69, 249), ("lb-1", "Luggage & Bags > Backpacks"), &["Ripstop", "Cordura", "Recycled Polyester", "Canvas"], &LITRES),
            kind("Tent", "Tents", (199, 749), ("sg-4-4-15", "Camping & Hiking > Tents"), &["Ripstop", "Silnylon", "Recycled Polyester"], &LETTERS),
            kind("Sleeping Bag", "Sleeping Bags", (99, 449), ("sg-4-4-12", "Camping & Hiking > Sleeping Bags"), &["Goose Down", "Synthetic Fill", "Wool"], &LETTERS),
            kind("Insulated Bottle", "Bottles", (19, 49), ("sg-4-4-7", "Camping & Hiking > Drink Bottles"), &["Stainless Steel", "Titanium"], &LITRES),
            kind("Head Torch", "Lighting", (24, 99), ("sg-4-4-9", "Camping & Hiking > Lanterns & Flashlights"), &["Aluminium", "Recycled Plastic"], &SETS),
            kind("Trekking Poles", "Hiking", (49, 159), ("sg-4-4-16", "Camping & Hiking > Hiking Poles"), &["Carbon", "Aluminium"], &LETTERS),
            kind("Camp Stove", "Camp Kitchen", (39, 189), ("sg-4-4-5", "Camping & Hiking > Cookware"), &["Titanium", "Stainless Steel", "Aluminium"], &LETTERS),
            kind("Dry Bag", "Bags", (19, 69), ("sg-4-17-2-17", "Boating > Dry Bags"), &["TPU", "Recycled Nylon", "Tarpaulin"], &LITRES),
            kind("Climbing Harness", "Climbing", (49, 139), ("sg-4-5-8", "Climbing > Harnesses"), &["Nylon", "Recycled Polyester"], &LETTERS),
            kind("Bike Pannier", "Cycling", (49, 149), ("sg-4-6-2", "Cycling > Bags & Panniers"), &["Tarpaulin", "Cordura", "Waxed Canvas"], &LITRES),
        ],
        adjectives: &["Ultralight", "All-Season", "Compact", "Storm", "Alpine", "Trail", "Expedition", "Rugged", "Basecamp", "Summit"],
        uses: &["multi-day hikes", "bikepacking", "winter camps", "the daily commute", "family trips", "fast ascents"],
        tags: &["outdoor", "Hiking", "camping", "bike", "waterproof", "lightweight", "season:winter", "season:summer", "activity:climbing", "activity:cycling", "pfc_free", "Repairable", "5-year-warranty", "test winner", "clearance", "b-stock", "family", "weekender", "recycled", "new-arrival"],
        sentences: &[
            "Don't be fooled by the weight: this {n} was tested for {d} nights above 2,000 m.",
            "Stows away quickly and weighs less than you'd think.",
            "Every part can be replaced with the tools you carry anyway.",
            "Keeps working at –{d} °C, in sideways rain and after a fall.",
            "Our testers took it across the Hardangervidda and brought it back in one piece.",
            "Reflective details help others to see you in the dark.",
        ],
        axes: [&COLORS, &VERSIONS],
    },
    Department {
        category: "Health & Beauty > Personal Care",
        brands: &["Botanica Nine", "Seifenwerk", "Clear & Calm", "Maré", "Little Orchard", "Pure Tonic"],
        kinds: &[
            kind("Hand Cream", "Skin Care", (7, 29), ("hb-3-2-9", "Skin Care > Lotion & Moisturizer"), &["Shea", "Oat", "Sea Buckthorn", "Almond"], &MILLILITRES),
            kind("Shampoo", "Hair Care", (6, 24), ("hb-3-10-6", "Hair Care > Shampoo & Conditioner"), &["Nettle", "Birch", "Argan", "Green Tea"], &MILLILITRES),
            kind("Face Oil", "Skin Care", (14, 59), ("hb-3-2-6", "Skin Care > Face Oils"), &["Jojoba", "Rosehip", "Squalane"], &MILLILITRES),
            kind("Bath Salts", "Bath", (9, 29), ("hb-3-2-2", "Bath & Body > Bath Additives"), &["Dead Sea", "Epsom", "Himalayan"], &SETS),
            kind("Soap Bar", "Soap", (5, 19), ("hb-3-2-3", "Bath & Body > Bar Soap"), &["Olive Oil", "Clay", "Goat Milk", "Charcoal"], &SETS),
            kind("Room Spray", "Fragrance", (12, 39), ("hg-3-32-4", "Home Fragrances > Air Fresheners"), &["Herbal", "Botanical", "Alcohol-Free"], &MILLILITRES),
        ],
        adjectives: &["Soothing", "Gentle", "Night", "Daily", "Fresh", "Nourishing", "Calming", "Pure"],
        uses: &["sensitive skin", "the whole family", "long flights", "cold weather", "evenings in", "after sport"],
        tags: &["vegan", "cruelty-free", "skin:dry", "skin:sensitive", "zero_waste", "Refill", "travel size", "gift idea", "Bestseller", "new-arrival", "made_in_france", "natural", "bundle", "subscription", "clearance"],
        sentences: &[
            "A small amount is enough; massage it in and take a deep breath.",
            "Free from mineral oil, silicones & microplastics.",
            "Dermatologically tested with {d} volunteers.",
            "The {n} smells of a garden after the rain.",
            "When it's empty, send the container back: we fill it again.",
        ],
        axes: [&SCENTS, &EDITIONS],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_fill_the_largest_product() {
        for department in DEPARTMENTS {
            for kind in department.kinds {
                let [second, third] = department.axes;
                let combinations =
                    [kind.sizes, second, third].map(|axis| axis.values.len()).iter().product::<usize>();
                assert!(combinations >= 2_048, "{}", kind.noun);
            }
        }
    }

    #[test]
    fn no_list_is_empty() {
        for department in DEPARTMENTS {
            let lists = [
                department.brands,
                department.adjectives,
                department.uses,
                department.tags,
                department.sentences,
            ];
            assert!(lists.iter().all(|list| !list.is_empty()));
            assert!(department.kinds.iter().all(|kind| !kind.materials.is_empty()));
            assert!(!department.kinds.is_empty());
        }
    }
}
