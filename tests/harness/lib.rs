//! Shared by the test programs beside it.
