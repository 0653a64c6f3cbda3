//! The whole pipeline on real servers, each test in a world of its own.

mod happy;
