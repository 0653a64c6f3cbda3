//! Goal: the law of the architecture is checked, not remembered.
//!
//! `law` states it. `workspace` reads what there is: Cargo's graph, and the files that git tracks or would. The other
//! modules are checks, pure functions from what there is to a list of violations; each has self-tests that feed it a
//! violating example, so that a check that has gone blind fails too.

mod dependencies;
mod exposure;
mod files;
mod law;
mod licences;
mod workspace;

use workspace::{closure, edges, tracked_files};

#[track_caller]
fn uphold(violations: &[String]) {
    assert!(violations.is_empty(), "the law is broken:\n  {}\n", violations.join("\n  "));
}

#[test]
fn every_crate_is_in_the_law() {
    uphold(&dependencies::unknown(&workspace::members(), law::MAY_USE));
}

#[test]
fn crates_use_of_ours_only_what_the_law_allows() {
    uphold(&dependencies::beyond(&edges(), law::MAY_USE));
}

#[test]
fn each_outside_system_has_one_door() {
    uphold(&dependencies::side_doors(&edges(), law::DOORS));
}

#[test]
fn nothing_forbidden_comes_in_through_a_dependency() {
    for &(krate, forbidden) in law::MUST_NOT_REACH {
        uphold(&dependencies::reached(krate, &closure(krate), forbidden));
    }
}

#[test]
fn the_law_speaks_of_sources_that_exist() {
    let quiet = law::MUST_NOT_SAY.iter().map(|&(directory, _)| directory);
    let hidden = law::MUST_NOT_HAND_OUT.iter().map(|&(directory, _)| directory);
    uphold(&files::empty(&tracked_files(), quiet.chain(hidden)));
}

#[test]
fn sources_do_not_say_what_their_crate_must_never_do() {
    uphold(&files::spoken(&tracked_files(), law::MUST_NOT_SAY));
}

#[test]
fn no_crate_hands_out_the_types_of_the_system_behind_its_door() {
    let files = tracked_files();
    uphold(&law::MUST_NOT_HAND_OUT.iter().flat_map(|&rule| exposure::handed_out(&files, rule)).collect::<Vec<_>>());
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    uphold(&licences::not_permissive(&workspace::licences(), law::LICENCES));
}

#[test]
fn the_top_level_holds_what_a_newcomer_expects() {
    uphold(&files::strangers(&tracked_files(), law::TOP_LEVEL));
}

#[test]
fn the_commands_of_this_workspace_take_what_is_typed_after_them() {
    uphold(&files::swallowing(&tracked_files()));
}

#[test]
fn every_crate_has_a_readme_that_is_its_crate_doc() {
    uphold(&files::undocumented(&tracked_files()));
}

#[test]
fn no_file_depends_on_the_machine_it_was_written_on() {
    uphold(&files::homesick(&tracked_files(), law::NOT_OURS_TO_NAME));
}
