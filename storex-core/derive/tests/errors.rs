//! What `#[derive(Collection)]` refuses, with its message and its place. `TRYBUILD=overwrite` writes the expected messages
//! anew; those of the compiler itself are not here, since they differ from one version to the next (see the examples of
//! `Property` that must not compile).

#[test]
fn compile_errors_point_at_the_field() {
    trybuild::TestCases::new().compile_fail("tests/errors/*.rs");
}
