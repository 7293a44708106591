//! The cases for [`Backend`](storex_core::Backend), by subject. A case's name says what it asserts.
#![allow(missing_docs)] // see above

pub mod counting;
pub mod creating;
pub mod deleting;
pub mod finding;
pub mod operators;
pub mod ordering;
pub mod schemas;
pub mod updating;

/// Every case of the suite as a test on the backend that the function gives.
///
/// ```
/// use storex_conformance::{Harness, backend_conformance};
/// use storex_memory::MemoryBackend;
///
/// fn memory() -> Harness {
///     Harness::new(MemoryBackend::new)
/// }
///
/// backend_conformance!(memory);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! backend_conformance {
    ($make:expr) => {
        $crate::__storex_suite! { $make; backend:
            schemas {
                an_indexed_text_field
                an_index_on_a_child_of_relation
                an_index_on_a_child_of_relation_with_an_alias
                an_index_on_a_child_of_relation_with_an_alias_and_a_column
                an_index_on_a_single_child_of_relation
                an_index_on_a_single_child_of_relation_with_an_alias
                an_index_on_a_single_child_of_relation_with_an_alias_and_a_column
            }
            creating {
                an_object_is_found_by_its_key
                an_object_is_found_by_a_string_field
                an_object_is_found_by_a_boolean_field
                objects_created_in_bulk_are_found
                an_optional_field_left_out_is_null_in_the_created_object
                an_optional_field_left_out_is_null_when_read_again
            }
            operators {
                int_lt
                int_lte
                int_gt
                int_gte
                timestamp_lt
                timestamp_lte
                timestamp_gt
                timestamp_gte
            }
            ordering {
                ascending
                descending
                ascending_with_a_limit
                descending_with_a_limit
            }
            updating {
                one_object_by_its_key
                objects_by_a_filter
            }
            deleting {
                one_object_leaves_the_others
                objects_by_a_list_of_keys
            }
            counting {
                all_objects
                objects_by_equality
                objects_by_an_operator
            }
            finding {
                one_object_by_a_filter
            }
        }
    };
}
