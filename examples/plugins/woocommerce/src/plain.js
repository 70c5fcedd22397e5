// @ts-check
// Turns the HTML of WordPress into plain text.

/** Names of the characters from U+00A0 to U+00FF, in their order. */
const LATIN =
  "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot " +
  "cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml " +
  "Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig " +
  "agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute " +
  "ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";

/** What browsers take `&#128;` to `&#159;` for: the characters of Windows-1252. */
const WINDOWS = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";

/** @type {Map<string, string>} */
const ENTITIES = new Map([
  ...LATIN.split(" ").map((name, at) => /** @type {[string, string]} */ ([name, String.fromCharCode(0xa0 + at)])),
  ...Object.entries({
    amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", AMP: "&", LT: "<", GT: ">", QUOT: '"', euro: "€", trade: "™", bull: "•",
    hellip: "…", ndash: "–", mdash: "—", lsquo: "‘", rsquo: "’", sbquo: "‚", ldquo: "“", rdquo: "”", bdquo: "„", lsaquo: "‹",
    rsaquo: "›", dagger: "†", Dagger: "‡", permil: "‰", prime: "′", Prime: "″", minus: "−", ensp: " ", emsp: " ", thinsp: " ",
    OElig: "Œ", oelig: "œ", Scaron: "Š", scaron: "š", Zcaron: "Ž", zcaron: "ž", Yuml: "Ÿ", fnof: "ƒ", rarr: "→", larr: "←",
    hearts: "♥", check: "✓", star: "☆", infin: "∞", ne: "≠", le: "≤", ge: "≥", asymp: "≈", zwnj: "", zwj: "", lrm: "", rlm: "",
  }),
]);

/** Shortcodes of WordPress and WooCommerce that may stand without settings and without an end. */
const BARE = ["gallery", "audio", "video", "playlist", "embed", "products", "add_to_cart", "product_page"];

/** The text of some HTML: without markup and shortcodes, entities decoded. @param {string | undefined} html */
export function plain(html) {
  if (html === undefined) return "";
  const visible = html.replace(/<(script|style)\b[\s\S]*?(?:<\/\1\s*>|$)/gi, " ").replace(/<!--[\s\S]*?(?:-->|$)/g, " ");
  return entities(shortcodes(visible.replace(/<[/!]?[a-z][^<>]*>/gi, " "))).replace(/\s+/g, " ").trim();
}

/** Takes shortcodes out, and leaves the text between them: `[vc_row]Soft cotton.[/vc_row]`. Other text in brackets, such as
 * `[1]` or `[new]`, stays: a shortcode has settings, an underscore in its name, an end, or is a known one.
 * @param {string} text */
function shortcodes(text) {
  if (!text.includes("[")) return text;
  // The contents of these are encoded in base64.
  const readable = text.replace(/\[(vc_raw_html|vc_raw_js)\b[^[\]]*\][^[]*\[\/\1\]/g, " ");
  const ended = new Set([...readable.matchAll(/\[\/([a-z][\w-]*)\]/gi)].map(([, name]) => name));
  return readable.replace(/\[(\/?)([a-z][\w-]*)(\s[^[\]]*)?\]/gi, (whole, end, name, rest) => {
    const hasSettings = /^\s+[\w-]+\s*=/.test(rest ?? "");
    const isBare = (rest ?? "").trim().replace("/", "") === "";
    const isShortcode = end || hasSettings || (isBare && (name.includes("_") || ended.has(name) || BARE.includes(name)));
    return isShortcode ? " " : whole;
  });
}

/** @param {string} text */
function entities(text) {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|([a-z]\w*));/gi, (whole, decimal, hex, name) => {
    if (name) return ENTITIES.get(name) ?? whole;
    const code = decimal ? Number(decimal) : parseInt(hex, 16);
    if (code >= 0x80 && code < 0xa0) return WINDOWS[code - 0x80];
    return code > 0 && code < 0x110000 && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : " ";
  });
}
