//! The check that everything we build with may be used, changed and passed on.

use spdx::{Expression, ParseMode};

/// A third-party package and the licence its manifest states, an SPDX expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Licence {
    pub(crate) package: String,
    pub(crate) expression: Option<String>,
}

/// Packages that cannot be used under `permissive` licences alone.
pub(crate) fn not_permissive(licences: &[Licence], permissive: &[&str]) -> Vec<String> {
    licences.iter().filter_map(|licence| objection(licence, permissive)).collect()
}

fn objection(Licence { package, expression }: &Licence, permissive: &[&str]) -> Option<String> {
    let Some(expression) = expression else { return Some(format!("{package} states no licence")) };
    // Lax, for the `MIT/Apache-2.0` of old manifests.
    match Expression::parse_mode(expression, ParseMode::LAX) {
        Err(error) => Some(format!("{package}: the licence {expression:?} cannot be read: {}", error.reason)),
        // An exception (`WITH …`) only ever permits more.
        Ok(parsed)
            if parsed.evaluate(|required| required.license.id().is_some_and(|id| permissive.contains(&id.name))) =>
        {
            None
        }
        Ok(_) => Some(format!("{package}: the licence {expression:?} is not permissive")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_that_asks_for_more_is_a_violation() {
        for (expression, expected) in [
            (Some("MIT"), None),
            (Some("MIT OR GPL-3.0-only"), None),
            (Some("MIT/Apache-2.0"), None),
            (Some("(MIT OR GPL-2.0-only) AND Apache-2.0 WITH LLVM-exception"), None),
            (Some("MIT AND MPL-2.0"), Some(r#"p 1.0: the licence "MIT AND MPL-2.0" is not permissive"#)),
            (Some("LicenseRef-ours"), Some(r#"p 1.0: the licence "LicenseRef-ours" is not permissive"#)),
            (
                Some("MIT OR"),
                Some(r#"p 1.0: the licence "MIT OR" cannot be read: expected one of `<license>`, `(` here"#),
            ),
            (None, Some("p 1.0 states no licence")),
        ] {
            let licence = Licence { package: "p 1.0".to_owned(), expression: expression.map(str::to_owned) };
            let violations = not_permissive(&[licence], &["MIT", "Apache-2.0"]);
            assert_eq!(violations, Vec::from_iter(expected), "for {expression:?}");
        }
    }
}
