//! The check that a crate does not hand out the types of the crate it hides.

use std::collections::BTreeSet;

use quote::{ToTokens, quote};
use syn::{Attribute, Field, Fields, ImplItem, Item, Signature, TraitItem, UseTree, Visibility};

use crate::files::File;

/// Public items of the files below `directory` whose declaration mentions `foreign`, or a name imported from it.
///
/// A cause is exempt: an error may keep the foreign error as its `#[source]`, to be printed and not to be matched.
pub(crate) fn handed_out(files: &[File], (directory, foreign): (&str, &str)) -> Vec<String> {
    files.iter().filter(|file| file.is_source_below(directory)).flat_map(|file| exposed(file, foreign)).collect()
}

fn exposed(file: &File, foreign: &str) -> Vec<String> {
    let syntax = match syn::parse_file(&file.text) {
        Ok(syntax) => syntax,
        Err(error) => return vec![format!("{} cannot be parsed: {error}", file.path)],
    };
    let mut surface = Surface { foreign, imported: BTreeSet::from([foreign.to_owned()]), public: Vec::new() };
    surface.add_items(&syntax.items);
    let Surface { imported, public, .. } = surface;

    let mentions = |code: &str| {
        code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|name| name != "_" && imported.contains(name))
    };
    let exposing = public.iter().filter(|(_, code)| mentions(code));
    exposing.map(|(item, _)| format!("{}: `{item}` hands out {foreign}", file.path)).collect()
}

/// What others see of a file, and which of its names are foreign.
struct Surface<'a> {
    foreign: &'a str,
    imported: BTreeSet<String>,
    /// The name and the code of each public declaration.
    public: Vec<(String, String)>,
}

impl Surface<'_> {
    fn add(&mut self, name: &impl ToString, code: &impl ToTokens) {
        self.public.push((name.to_string(), code.to_token_stream().to_string()));
    }

    fn add_items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Use(item) => {
                    self.import(&item.tree, None);
                    if is_public(&item.vis) {
                        self.add(&quote!(#item), &item.tree);
                    }
                }
                Item::Mod(item) if !is_test(&item.attrs) => {
                    self.add_items(item.content.as_ref().map_or(&[], |(_, items)| items));
                }
                Item::Fn(item) if is_public(&item.vis) => self.add_signature("", &item.sig),
                Item::Const(item) if is_public(&item.vis) => self.add(&item.ident, &item.ty),
                Item::Static(item) if is_public(&item.vis) => self.add(&item.ident, &item.ty),
                Item::Type(item) if is_public(&item.vis) => self.add(&item.ident, &item.ty),
                Item::Struct(item) if is_public(&item.vis) => {
                    self.add_fields(&item.ident.to_string(), &item.fields, |field| is_public(&field.vis));
                }
                Item::Enum(item) if is_public(&item.vis) => {
                    for variant in &item.variants {
                        self.add_fields(&format!("{}::{}", item.ident, variant.ident), &variant.fields, |_| true);
                    }
                }
                Item::Trait(item) if is_public(&item.vis) => {
                    for function in &item.items {
                        if let TraitItem::Fn(function) = function {
                            self.add_signature(&format!("{}::", item.ident), &function.sig);
                        }
                    }
                }
                Item::Impl(item) if item.trait_.is_none() => {
                    for function in &item.items {
                        if let ImplItem::Fn(function) = function
                            && is_public(&function.vis)
                        {
                            self.add_signature(&format!("{}::", item.self_ty.to_token_stream()), &function.sig);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn add_signature(&mut self, scope: &str, signature: &Signature) {
        let Signature { ident, generics, inputs, output, .. } = signature;
        let bounds = &generics.where_clause;
        self.add(&format!("{scope}{ident}"), &quote!(#generics #inputs #output #bounds));
    }

    fn add_fields(&mut self, scope: &str, fields: &Fields, is_seen: impl Fn(&Field) -> bool) {
        for field in fields.iter().filter(|field| is_seen(field) && !is_cause(&field.attrs)) {
            self.add(&scope, &field.ty);
        }
    }

    /// Notes the names that `tree` takes from the foreign crate; `parent` is the last name of a path that starts there.
    fn import(&mut self, tree: &UseTree, parent: Option<&str>) {
        match tree {
            UseTree::Path(path) => {
                let name = path.ident.to_string();
                let parent = (parent.is_some() || name == self.foreign).then_some(&*name);
                self.import(&path.tree, parent);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, parent)),
            UseTree::Name(import) => {
                if let Some(parent) = parent {
                    let name = import.ident.to_string();
                    self.imported.insert(if name == "self" { parent.to_owned() } else { name });
                }
            }
            UseTree::Rename(import) if parent.is_some() || import.ident == self.foreign => {
                self.imported.insert(import.rename.to_string());
            }
            // Names that cannot be seen here cannot be watched.
            UseTree::Glob(_) if parent.is_some() => self.public.push(("use *".to_owned(), self.foreign.to_owned())),
            _ => {}
        }
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.to_token_stream().to_string() == "# [cfg (test)]")
}

fn is_cause(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("source") || attribute.path().is_ident("from"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_item_that_mentions_a_foreign_type_is_a_violation() {
        for (text, expected) in [
            ("pub fn open() -> Result<sqlx::PgPool, Error> {}", Some("open")),
            ("use sqlx::PgPool; pub fn open(url: &str) -> PgPool {}", Some("open")),
            ("use sqlx::{self as sql, PgPool as Pool}; pub fn open(pool: &Pool) {}", Some("open")),
            ("use sqlx::postgres::{self, PgRow}; pub fn open<T>() where T: From<postgres::PgPool> {}", Some("open")),
            ("pub mod inner { pub struct Row(pub sqlx::postgres::PgRow); }", Some("Row")),
            ("pub enum Failure { Query { row: sqlx::Row } }", Some("Failure::Query")),
            ("pub struct Store; impl Store { pub async fn pool(&self) -> &sqlx::PgPool {} }", Some("Store::pool")),
            ("pub trait Read { fn read(&self) -> sqlx::Row; }", Some("Read::read")),
            ("pub type Pool = sqlx::PgPool;", Some("Pool")),
            ("pub use sqlx::PgPool;", Some("pub use sqlx :: PgPool ;")),
            ("use sqlx::*;", Some("use *")),
            ("pub(crate) fn open() -> sqlx::PgPool {}", None),
            ("use sqlx::{Row as _, PgPool}; pub struct Store { pool: PgPool, pub name: String }", None),
            ("pub enum Failure { Query(#[source] sqlx::Error), Open { #[from] source: sqlx::Error } }", None),
            ("pub fn open() { let pool: sqlx::PgPool; }", None),
            ("#[cfg(test)] mod tests { pub fn open() -> sqlx::PgPool {} }", None),
            ("/// Hides sqlx::PgPool.\npub fn sqlx() {}", None),
        ] {
            let file = File { path: "store/lib.rs".to_owned(), text: text.to_owned() };
            let expected = expected.map(|item| format!("store/lib.rs: `{item}` hands out sqlx"));
            assert_eq!(handed_out(&[file], ("store/", "sqlx")), Vec::from_iter(expected), "for {text}");
        }
    }
}
