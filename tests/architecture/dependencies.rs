//! Checks of the graph that Cargo sees.

/// One crate of ours declares another crate, of ours or not, as a dependency of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Crates that the law does not speak of: a new one must first find its place in it.
pub(crate) fn unknown(members: &[String], law: &[(&str, &[&str])]) -> Vec<String> {
    let missing = members.iter().filter(|member| !law.iter().any(|(krate, _)| krate == member));
    missing.map(|member| format!("{member} is not in the law")).collect()
}

/// Edges between our crates that the law does not allow.
pub(crate) fn beyond(edges: &[Edge], law: &[(&str, &[&str])]) -> Vec<String> {
    let ours = |name: &str| law.iter().any(|&(krate, _)| krate == name);
    let allowed = |edge: &Edge| law.iter().any(|&(krate, may)| krate == edge.from && may.contains(&&*edge.to));
    let beyond = edges.iter().filter(|edge| ours(&edge.to) && !allowed(edge));
    beyond.map(|Edge { from, to }| format!("{from} must not use {to}")).collect()
}

/// Edges to others' crates that are kept for some of ours, from another of ours.
pub(crate) fn side_doors(edges: &[Edge], doors: &[(&str, &[&str])]) -> Vec<String> {
    let barred =
        |edge: &Edge| doors.iter().any(|&(krate, keepers)| krate == edge.to && !keepers.contains(&&*edge.from));
    let side_doors = edges.iter().filter(|edge| barred(edge));
    side_doors.map(|Edge { from, to }| format!("{from} must not use {to} itself")).collect()
}

/// Forbidden crates among all that `krate` is built with.
pub(crate) fn reached(krate: &str, closure: &[String], forbidden: &[&str]) -> Vec<String> {
    let reached = forbidden.iter().filter(|&&name| closure.iter().any(|reached| reached == name));
    reached.map(|name| format!("{krate} reaches {name}; `cargo tree -p {krate} -i {name}` tells how")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAW: &[(&str, &[&str])] = &[("domain", &[]), ("store", &["domain"])];

    fn edge(from: &str, to: &str) -> Edge {
        Edge { from: from.to_owned(), to: to.to_owned() }
    }

    #[test]
    fn a_crate_outside_the_law_is_a_violation() {
        let members = ["domain", "utils"].map(str::to_owned);
        assert_eq!(unknown(&members, LAW), ["utils is not in the law"]);
    }

    #[test]
    fn an_edge_against_the_law_is_a_violation() {
        let edges = [edge("store", "domain"), edge("domain", "thiserror"), edge("domain", "store")];
        assert_eq!(beyond(&edges, LAW), ["domain must not use store"]);
        assert_eq!(beyond(&[edge("utils", "domain")], LAW), ["utils must not use domain"]);
    }

    #[test]
    fn a_side_door_is_a_violation() {
        let edges = [edge("store", "sqlx"), edge("query", "sqlx"), edge("query", "tokio")];
        assert_eq!(side_doors(&edges, &[("sqlx", &["store"])]), ["query must not use sqlx itself"]);
    }

    #[test]
    fn a_forbidden_crate_that_comes_in_through_another_is_a_violation() {
        let closure = ["time", "serde_core"].map(str::to_owned);
        let violations = reached("domain", &closure, &["tokio", "serde_core"]);
        assert_eq!(violations, ["domain reaches serde_core; `cargo tree -p domain -i serde_core` tells how"]);
    }
}
