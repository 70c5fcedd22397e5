//! The page of report codes (why an item or chunk was not simply processed), generated from the list in `host_core`;
//! and a test that compares this list with the codes in the sources.

use crate::{
    cell, check,
    source::{files, root},
};
use host_core::report_codes::{Origin, REPORT_CODES};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use syn::{
    Attribute, Expr, ExprCall, ExprLit, ExprMethodCall, ExprStruct, ImplItemFn, ItemConst, ItemFn, ItemMod,
    Lit, Local, Macro, Meta, Pat,
    punctuated::Punctuated,
    token::Comma,
    visit::{self, Visit},
};

/// Functions that take a report code among their first three arguments.
const TAKES_CODE: [&str; 12] = [
    "entry",
    "error",
    "error_at",
    "halve_or_refuse",
    "issue",
    "kebab_code",
    "new",
    "refusal",
    "refuse",
    "warn",
    "warn_at",
    "warning",
];

#[test]
fn report_codes() {
    let mut page = "The codes in reports (`host jobs report`), dead letters (`host dlq show`) and `last_error`. Codes are stable: scripts may \
                    compare them. A plug-in of your own adds its own codes, and a Marqo server its own, written with hyphens \
                    (`invalid_argument` becomes `invalid-argument`).\n"
        .to_owned();
    for origin in Origin::ALL {
        let of_origin = || REPORT_CODES.iter().filter(|code| code.origin == origin);
        write!(page, "\n## {}\n\n| code | effect | meaning |\n| --- | --- | --- |\n", origin.title())
            .unwrap();
        let mut sorted: Vec<_> = of_origin().collect();
        sorted.sort_by_key(|code| code.code);
        for code in sorted {
            writeln!(page, "| `{}` | {} | {} |", code.code, code.effect, cell(code.meaning)).unwrap();
        }
    }
    check("report-codes.md", "Report codes", &page);
}

#[test]
fn every_code_that_the_sources_make_is_documented() {
    let mut made = BTreeMap::new();
    let mut texts = BTreeSet::new();
    for folder in ["plugins", "crates", "host/src"] {
        for (path, file) in files(folder) {
            let mut codes = Codes::default();
            codes.visit_file(&file);
            let path = path.strip_prefix(root()).unwrap().display().to_string();
            // The tools for plug-in authors have kebab-case names that are not report codes.
            if !path.contains("plugin-dev") && !path.ends_with("report_codes.rs") {
                made.extend(codes.made.into_iter().map(|code| (code, path.clone())));
            }
            if !path.ends_with("report_codes.rs") {
                texts.extend(codes.texts);
            }
        }
    }
    let known: BTreeSet<&str> = REPORT_CODES.iter().map(|code| code.code).collect();
    let unknown: Vec<_> = made.iter().filter(|(code, _)| !known.contains(&***code)).collect();
    assert!(unknown.is_empty(), "not in host_core::report_codes: {unknown:#?}");
    let gone: Vec<_> = known.iter().filter(|code| !texts.contains(**code)).collect();
    assert!(gone.is_empty(), "in host_core::report_codes, but made nowhere: {gone:#?}");
    let seen = made.keys().filter(|code| known.contains(&***code)).count();
    assert!(seen * 2 > known.len(), "only {seen} codes found in the sources: how are they made now?");
}

/// Collects literals from the syntax tree of sources.
#[derive(Default)]
struct Codes {
    /// Literals that the sources use as a report code.
    made: BTreeSet<String>,
    /// All string literals.
    texts: BTreeSet<String>,
}

/// Whether an item is a test or only compiled for tests.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::Path(path) => path.is_ident("test"),
        Meta::NameValue(_) => false,
    })
}

/// Whether a text has the form of a code: words in kebab-case.
fn is_code(text: &str) -> bool {
    text.contains('-')
        && text.split('-').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

/// The codes among the literals of an expression.
fn codes_in(expression: &Expr) -> BTreeSet<String> {
    let mut codes = Codes::default();
    codes.visit_expr(expression);
    codes.texts.into_iter().filter(|text| is_code(text)).collect()
}

/// The text of a literal that has the form of a code.
fn literal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()).filter(|text| is_code(text)),
        _ => None,
    }
}

impl Codes {
    /// Collects the code among the arguments of a function that takes one.
    fn arguments(&mut self, function: &str, arguments: &Punctuated<Expr, Comma>) {
        if TAKES_CODE.contains(&function) {
            self.made.extend(arguments.iter().take(3).find_map(literal));
        }
    }
}

impl<'ast> Visit<'ast> for Codes {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_const(&mut self, item: &'ast ItemConst) {
        if item.ident.to_string().ends_with("CODE") {
            self.made.extend(codes_in(&item.expr));
        }
        visit::visit_item_const(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if item.sig.ident == "code" {
            let mut codes = Codes::default();
            codes.visit_block(&item.block);
            self.made.extend(codes.texts.into_iter().filter(|text| is_code(text)));
        }
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        // `let (code, message) = match …`
        if let (Pat::Tuple(names), Some(init)) = (&local.pat, &local.init)
            && matches!(names.elems.first(), Some(Pat::Ident(name)) if name.ident == "code")
        {
            self.made.extend(codes_in(&init.expr));
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_struct(&mut self, expression: &'ast ExprStruct) {
        for field in &expression.fields {
            if matches!(&field.member, syn::Member::Named(name) if name == "code") {
                self.made.extend(codes_in(&field.expr));
            }
        }
        visit::visit_expr_struct(self, expression);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(path) = &*call.func
            && let Some(function) = path.path.segments.last()
        {
            self.arguments(&function.ident.to_string(), &call.args);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.arguments(&call.method.to_string(), &call.args);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_lit(&mut self, expression: &'ast ExprLit) {
        if let Lit::Str(text) = &expression.lit {
            self.texts.insert(text.value());
        }
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        // Literals in macros are tokens; those of `json!` and `matches!` may be codes.
        for token in item.tokens.to_string().split('"').skip(1).step_by(2) {
            self.texts.insert(token.to_owned());
        }
    }
}
