//! Units of measurement, so that a field holds all values in one.

/// A unit by its names (as Shopify writes it in metafields, and the usual short one), what it measures, how many of the
/// first unit of that it is, and where its zero is.
struct Unit {
    names: &'static [&'static str],
    measures: &'static str,
    factor: f64,
    zero: f64,
}

const UNITS: &[Unit] = &[
    unit(&["MILLIGRAMS", "mg"], "weight", 0.001),
    unit(&["GRAMS", "g"], "weight", 1.0),
    unit(&["KILOGRAMS", "kg"], "weight", 1_000.0),
    unit(&["OUNCES", "oz"], "weight", 28.349_523_125),
    unit(&["POUNDS", "lb", "lbs"], "weight", 453.592_37),
    unit(&["MILLIMETERS", "mm"], "length", 1.0),
    unit(&["CENTIMETERS", "cm"], "length", 10.0),
    unit(&["METERS", "m"], "length", 1_000.0),
    unit(&["INCHES", "in"], "length", 25.4),
    unit(&["FEET", "ft"], "length", 304.8),
    unit(&["YARDS", "yd"], "length", 914.4),
    unit(&["MILLILITERS", "ml"], "volume", 1.0),
    unit(&["CENTILITERS", "cl"], "volume", 10.0),
    unit(&["LITERS", "l"], "volume", 1_000.0),
    unit(&["CUBIC_METERS", "m3"], "volume", 1_000_000.0),
    unit(&["FLUID_OUNCES", "us_fl_oz", "fl_oz", "floz"], "volume", 29.573_529_562_5),
    unit(&["PINTS", "us_pt", "pt"], "volume", 473.176_473),
    unit(&["QUARTS", "us_qt", "qt"], "volume", 946.352_946),
    unit(&["GALLONS", "us_gal", "gal"], "volume", 3_785.411_784),
    unit(&["IMPERIAL_FLUID_OUNCES", "imp_fl_oz"], "volume", 28.413_062_5),
    unit(&["IMPERIAL_PINTS", "imp_pt"], "volume", 568.261_25),
    unit(&["IMPERIAL_QUARTS", "imp_qt"], "volume", 1_136.522_5),
    unit(&["IMPERIAL_GALLONS", "imp_gal"], "volume", 4_546.09),
    unit(&["CELSIUS", "c"], "temperature", 1.0),
    Unit { names: &["FAHRENHEIT", "f"], measures: "temperature", factor: 5.0 / 9.0, zero: 32.0 },
    Unit { names: &["KELVIN", "k"], measures: "temperature", factor: 1.0, zero: 273.15 },
];

const fn unit(names: &'static [&'static str], measures: &'static str, factor: f64) -> Unit {
    Unit { names, measures, factor, zero: 0.0 }
}

fn find(name: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.names.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// Whether values can be converted to a unit.
pub(crate) fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// The short names of all units.
pub(crate) fn known() -> String {
    UNITS.iter().filter_map(|unit| unit.names.get(1)).copied().collect::<Vec<_>>().join(", ")
}

/// A number in another unit; `None` if the units do not measure the same.
pub(crate) fn convert(number: f64, from: &str, to: &str) -> Option<f64> {
    if from.eq_ignore_ascii_case(to) {
        return Some(number);
    }
    let (from, to) = (find(from)?, find(to)?);
    if from.measures != to.measures {
        return None;
    }
    let converted = (number - from.zero) * from.factor / to.factor + to.zero;
    // Twelve digits are more than any scale shows, and free of the noise of floats.
    format!("{converted:.11e}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_converted_within_what_they_measure() {
        for (number, from, to, converted) in [
            (25.0, "CENTIMETERS", "m", Some(0.25)),
            (3.0, "in", "mm", Some(76.2)),
            (5.0, "POUNDS", "kg", Some(2.26796185)),
            (500.0, "g", "KILOGRAMS", Some(0.5)),
            (1.0, "us_gal", "l", Some(3.785411784)),
            (212.0, "FAHRENHEIT", "c", Some(100.0)),
            (0.0, "c", "k", Some(273.15)),
            (7.0, "PARSECS", "parsecs", Some(7.0)),
            (7.0, "PARSECS", "m", None),
            (7.0, "kg", "m", None),
        ] {
            assert_eq!(convert(number, from, to), converted, "{number} {from} in {to}");
        }
    }
}
