//! The cases for [`Backend`](storex_core::Backend), by subject. A case's name says what it asserts.
#![allow(missing_docs)] // see above

pub mod aggregates;
pub mod atomicity;
pub mod bad_input;
pub mod batching;
pub mod cascades;
pub mod changes;
pub mod changes_relative;
pub mod checks;
pub mod concurrency;
pub mod continuations;
pub mod conveniences;
pub mod counting;
pub mod creating;
pub mod custom_fields;
pub mod deleting;
pub mod elements;
pub mod fetching;
pub mod finding;
pub mod histories;
pub mod keys;
pub mod lifecycle;
pub mod live;
pub mod middleware;
pub mod migrations;
pub mod modules;
pub mod operators;
pub mod ordering;
pub mod paging;
pub mod read_only;
pub mod related_filters;
pub mod relations;
pub mod retrying;
pub mod rules;
pub mod schemas;
pub mod search;
pub mod snapshots;
pub mod texts;
pub mod transactions;
pub mod unique;
pub mod updating;
pub mod validating;
pub mod values;
pub mod watching;

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
///
/// `backend_conformance!(memory, by_subject)` makes one test of all cases of a subject: where a process is started for
/// each test, it takes a fraction of the time. It is for a further run, behind a middleware for instance, on native targets.
#[macro_export]
macro_rules! backend_conformance {
    ($make:expr) => {
        $crate::backend_conformance!($make, by_case);
    };
    ($make:expr, $tests:ident) => {
        $crate::__storex_suite! { $make => $crate::Harness; $tests; backend:
            schemas {
                an_indexed_text_field
                an_index_on_a_child_of_relation
                an_index_on_a_child_of_relation_with_an_alias
                an_index_on_a_child_of_relation_with_an_alias_and_a_column
                an_index_on_a_single_child_of_relation
                an_index_on_a_single_child_of_relation_with_an_alias
                an_index_on_a_single_child_of_relation_with_an_alias_and_a_column
                no_collections
                names_that_need_quotes
                long_names
                many_fields
                many_collections
                fields_with_columns_of_other_names
                every_field_type
                a_default_fills_a_field_left_out
                an_explicit_null_is_not_the_default
            }
            creating {
                an_object_is_found_by_its_key
                an_object_is_found_by_a_string_field
                an_object_is_found_by_a_boolean_field
                objects_created_in_bulk_are_found
                an_optional_field_left_out_is_null_in_the_created_object
                an_optional_field_left_out_is_null_when_read_again
                an_empty_list_of_objects
                five_thousand_objects_in_one_step
                an_existing_key_is_refused
                an_existing_compound_key_is_refused
                of_a_list_with_an_existing_key_nothing_is_created
                a_list_with_a_key_twice_is_refused
                a_deleted_key_can_be_created_again
                skip_leaves_what_exists
                skip_keeps_the_first_of_a_key_given_twice
                replace_gives_all_values_of_the_new_object
                replace_keeps_the_last_of_a_key_given_twice
                equal_keys_of_two_collections_are_two_objects
            }
            finding {
                nothing_in_an_empty_collection
                one_object_by_a_filter
                of_several_matches_the_first_by_key
                keys_give_objects_in_their_order
                keys_that_are_not_there_are_left_out
                a_key_given_twice_counts_once
                no_keys_give_nothing
                keys_with_an_order
                keys_with_a_limit
                five_thousand_keys
                five_thousand_compound_keys
                only_the_fields_asked_for_in_their_order
                fields_left_out_still_filter_and_order
                no_fields_give_empty_objects
                a_field_twice
                a_find_changes_nothing
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
                an_empty_filter_matches_all
                equality_and_its_opposite_with_null
                exists_is_not_null
                ranges_match_no_null
                the_opposite_of_a_range_matches_null
                lists_with_null
                and_or_nor_not
                empty_lists_of_filters
                keys_as_a_part_of_a_filter
                every_operator_on_integers
                every_operator_on_floats
                every_operator_on_texts
                every_operator_on_bytes
                every_operator_on_booleans
                every_operator_on_timestamps
                every_operator_on_datetimes
                equality_on_json
                case_and_accents_count_in_texts
                a_list_of_forty_thousand_values
                two_thousand_alternatives
                a_filter_nested_a_hundred_deep
            }
            texts {
                that_begin_with_a_text
                that_begin_with_nothing
                that_begin_with_the_last_of_a_range
                of_every_plane
                in_which_a_text_occurs
                whatever_their_case
                with_dots_and_marks
                that_are_not_there
                among_values_of_other_kinds
                of_every_type_of_text
                go_with_orders_limits_and_pages
                say_what_is_changed_and_deleted
                in_fields_that_hold_none_are_refused
            }
            search {
                for_a_word
                for_several_words
                for_beginnings_of_words
                between_punctuation
                in_every_script
                for_words_that_mean_something_elsewhere
                after_every_change
                after_a_batch_that_failed
                in_texts_that_are_not_there
                within_a_batch
                with_other_conditions
                with_an_order_and_a_limit
                in_objects_with_compound_keys
                in_one_of_several_texts
                in_long_texts
                without_words_are_refused
                after_opening_again
            }
            ordering {
                ascending
                descending
                ascending_with_a_limit
                descending_with_a_limit
                nulls_are_first_ascending_and_last_descending
                ties_are_ordered_by_key
                several_fields_in_several_directions
                of_a_field_given_twice_the_first_counts
                by_the_key_descending
                by_one_field_of_a_compound_key
                by_a_relation
                texts_by_code_point
                integers_at_the_edges
                floats_at_the_edges
                bytes_one_by_one
                false_before_true
                timestamps_before_1970
                kinds_of_an_adopted_column
            }
            paging {
                an_offset
                an_offset_without_an_order_is_by_key
                limits_of_none_and_of_more_than_there_is
                pages_by_key
                pages_without_an_order_are_by_key
                pages_with_nulls_and_ties_ascending
                pages_with_nulls_and_ties_descending
                pages_by_several_fields_in_several_directions
                pages_of_a_filter
                pages_by_a_compound_key
                an_offset_behind_a_position
                fields_left_out_of_a_page
                writes_between_pages
                pages_of_structs
                a_position_that_no_object_has
            }
            counting {
                all_objects
                objects_by_equality
                objects_by_an_operator
                with_limit_and_offset
                behind_a_position
                objects_by_keys
            }
            aggregates {
                of_all_objects
                of_no_objects
                by_group
                by_several_fields
                distinct_values
                groups_in_their_order
                of_what_a_filter_matches
                of_related_objects
                of_values_of_many_kinds
                sums_of_large_integers
                sums_of_floats
                least_and_greatest_of_every_type
                after_every_change
                of_thousands
                that_cannot_be_are_refused
            }
            updating {
                one_object_by_its_key
                objects_by_a_filter
                exactly_the_objects_that_match
                a_change_to_the_same_value_is_told
                no_object_matches
                one_object_is_found_by_its_key_alone
                by_keys_with_absent_and_double_ones
                an_object_with_a_compound_key
                several_fields_at_once
                an_optional_field_is_unset
                changes_that_move_objects_within_the_filter
                five_thousand_objects
                the_parent_of_a_child
                increments
                an_increment_of_null_counts_from_zero
                an_increment_tells_the_objects_as_they_are_now
                an_increment_at_the_edge_is_exact
                an_increment_beyond_the_edge_is_refused
                a_timestamp_beyond_the_edge_is_refused
                floats_beyond_the_edge
            }
            changes_relative {
                integers_are_multiplied
                floats_are_multiplied
                a_product_is_never_minus_zero
                a_product_that_leaves_its_range_is_refused
                what_is_no_number_is_refused
                the_smaller_stays
                the_greater_of_every_type_stays
                of_null
                texts_are_appended
                the_beginnings_of_texts_are_replaced
                the_beginning_of_every_text_is_nothing
                a_beginning_is_taken_away
                elements_are_added_once
                elements_are_taken_out
                elements_of_what_is_no_array_are_refused
                of_values_of_any_kind
                of_exactly_the_objects_that_match
                that_move_objects_within_the_filter
                several_in_one_update
                what_changed_nothing_is_told
                and_others_give_the_objects_when_asked
                that_do_not_fit_the_field_are_refused
                within_the_rules_of_the_collection
                in_json
            }
            deleting {
                one_object_leaves_the_others
                objects_by_a_list_of_keys
                exactly_the_objects_that_match
                no_object_matches
                an_object_twice
                one_object_is_found_by_its_key_alone
                by_keys_with_absent_and_double_ones
                all_objects
                five_thousand_keys
                an_object_with_a_compound_key
                a_parent_leaves_its_children
                deleted_objects_are_in_no_index
            }
            cascades {
                children_go_and_pointers_become_null
                all_of_it_is_told
                what_another_device_deletes_brings_nothing_with_it
                a_batch_that_fails_afterwards_brings_nothing_with_it
                a_circle_ends
                deleted_created_and_deleted_again
                nothing_to_delete_brings_nothing_with_it
                by_several_fields
                thousands_at_once
            }
            batching {
                creates_with_a_placeholder
                an_empty_batch
                objects_with_compound_keys
                two_updates
                two_deletes
                steps_run_in_order
                a_find_within_a_batch_is_a_find
                a_batch_over_several_collections
                a_batch_can_be_executed_again
                two_thousand_steps
                links_to_several_records_of_several_steps
                a_link_to_an_unknown_placeholder_is_refused
                a_link_forwards_is_refused
                a_placeholder_of_another_batch_is_refused
                a_placeholder_used_twice_is_refused
                placeholders_and_links_of_records_that_are_not_there
                a_link_to_a_compound_key_is_refused
                the_placeholder_of_a_skipped_object
            }
            elements {
                are_found_by_kind_and_content
                go_with_other_conditions
                follow_every_change
                come_in_pages
                and_pages_of_an_index_with_a_constant_behind
                that_cannot_be_are_refused
                are_counted
                that_are_all_there
                that_meet_conditions
                that_are_objects
                that_meet_conditions_are_changed_and_deleted
                conditions_that_cannot_be_are_refused
            }
            continuations {
                sees_what_was_done
                writes_down_what_an_update_touched
                reads_decides_and_writes
                its_steps_run_before_the_next_step
                adds_further_continuations
                nothing_to_add
                its_error_is_the_error_of_the_batch
                its_steps_are_checked
                stays_within_what_the_batch_names
                placeholders_reach_into_continuations_and_out
                adds_much
                a_precondition_that_holds
                a_precondition_that_does_not_hold
                a_precondition_on_a_version
                what_was_seen_can_be_kept
            }
            transactions {
                money_is_moved_or_not
                reads_its_own_writes
                an_error_at_the_end_takes_everything_back
                a_decision_on_a_count
                found_or_created
                twenty_at_once_on_one_counter
                collections_are_found_out
                a_delete_brings_others_with_it
                swallowed_errors_do_not_end_it
                an_error_of_the_applications_own_comes_back
                what_the_database_refuses_ends_it
                a_wrong_call_can_be_survived
                a_function_that_does_not_do_the_same_is_refused
                structs
                nested_objects
                a_panic_leaves_nothing
                nothing_to_do
                a_thousand_steps
                is_told_once
                behind_a_middleware_that_adds_steps
                a_busy_database_is_tried_again
                others_see_all_or_nothing
                a_dropped_future_leaves_all_or_nothing
                steps_that_do_nothing
            }
            atomicity {
                an_existing_key
                a_value_of_a_unique_index
                an_unknown_field
                an_unknown_collection
                a_wrong_type
                an_increment_beyond_the_edge
                a_continuation_that_refuses
                a_step_of_a_continuation
                a_precondition_that_does_not_hold
                a_query_that_has_no_meaning
                what_failed_can_be_done_afterwards
                readers_see_whole_batches
                a_dropped_future_leaves_all_or_nothing
                a_continuation_that_panics
            }
            unique {
                a_second_object_with_the_value_is_refused
                within_one_list_too
                an_update_to_the_value_is_refused
                an_update_to_its_own_value
                nulls_are_not_compared
                an_empty_text_is_a_value
                case_accents_and_spaces_make_other_values
                over_several_fields
                several_indices_on_one_collection
                the_values_are_told
                a_value_is_free_after_its_object_is_deleted
                a_value_is_free_after_its_object_has_another
                replace_does_not_push_out_another_object
                skip_does_not_hide_a_violation
                over_a_part_of_the_key
            }
            relations {
                child_of_is_created
                child_of_is_found
                child_of_is_deleted
                single_child_of_is_created
                single_child_of_is_found
                single_child_of_is_deleted
                nested_objects_are_created_updated_and_deleted
                a_link_connects_two_objects
                links_are_created_within_one_of_their_ends
                a_batch_with_a_nested_create
                a_nested_create_gives_keys_at_every_level
                many_children_keep_their_order
                an_empty_list_of_children
                a_wrong_child_leaves_no_parent
                a_required_parent_must_be_given
                an_optional_parent_may_be_left_out
                a_parent_need_not_be_there
                parents_with_keys_of_every_form
                two_parents_of_one_collection
            }
            rules {
                cascade_deletes_the_children
                set_null_leaves_the_children
                restrict_keeps_a_parent_with_children
                within_a_batch_objects_go_in_any_order
                within_a_batch_objects_come_in_any_order
                a_parent_that_goes_and_comes_again
                a_child_of_nobody_is_refused
                an_update_to_nobody_is_refused
                a_child_created_and_deleted_with_its_parent
                a_parent_of_the_same_collection
                a_continuation_keeps_the_rules_too
                the_outcome_tells_the_batch_only
                sync_brings_children_before_their_parents
                a_cascade_ends_at_a_restriction
                nested_objects_keep_the_rules
            }
            fetching {
                children_by_reverse_alias
                a_parent_by_alias_stands_in_the_place_of_its_key
                a_single_child_is_one_object
                paths_go_on_at_every_level
                a_nested_object_comes_back
                structs_with_structs_in_them
                there_are_as_many_reads_as_relations
                a_filter_an_order_and_a_page
                what_is_not_there_is_refused
            }
            checks {
                a_create_is_checked
                an_update_is_checked_by_what_it_sets
                an_update_is_checked_by_what_becomes_of_the_objects
                a_relative_update_is_checked
                every_kind_of_check
                replaced_objects_and_those_of_continuations_are_checked
                what_sync_brings_is_not_checked
            }
            related_filters {
                by_the_parent
                by_the_children
                that_are_not_there
                without_an_object_at_the_other_end
                of_related_objects
                of_the_same_collection
                with_other_conditions
                with_orders_limits_and_pages
                in_json
                in_updates_and_deletes
                see_what_the_batch_has_done
                in_preconditions_and_counts
                in_deletes_that_bring_others_with_them
                in_continuations
                that_cannot_be_are_refused
                by_a_name_with_two_meanings_are_refused
                by_thousands
            }
            keys {
                a_text_key_is_a_uuid_of_version_7
                a_text_key_may_be_a_uuid_of_version_4
                a_key_of_bytes_is_a_uuid
                an_integer_key_has_63_bits
                an_integer_key_may_have_53_bits
                uuids_for_an_integer_key_are_refused
                keys_of_the_applications_own
                given_keys_are_kept
                an_empty_text_is_no_key
                an_empty_text_is_refused_without_auto_pk
                text_keys_ascend
                keys_of_bytes_ascend
                keys_of_63_bits_ascend
                keys_of_53_bits_ascend
                objects_in_a_batch_get_keys
                objects_of_continuations_get_keys
                nested_objects_get_keys_of_their_own_form
                without_a_generator_a_key_must_be_given
                other_keys_must_be_given
                random_keys_are_made
                texts_that_look_alike
                long_texts
                integers_at_the_edges
                bytes_of_every_length
                timestamps
                floats
                booleans
                compound_keys_part_by_part
            }
            values {
                texts_of_every_script
                long_texts_of_every_script
                texts_that_look_like_something_else
                integers
                integers_above_2_53_are_told_apart
                floats
                minus_zero_is_stored_as_zero
                nan_is_refused_everywhere
                integers_in_a_float_field
                booleans
                timestamps
                datetimes
                datetimes_in_json
                bytes
                bytes_are_no_text
                json_values_come_back
                json_values_in_json_objects
                a_json_null_is_null
                json_nested_a_hundred_deep
                a_text_of_8_megabytes
                bytes_of_8_megabytes
                json_of_a_megabyte
                infinity_in_json
                an_adopted_column_without_affinity
                an_adopted_column_of_texts
                an_adopted_column_of_integers
                an_adopted_column_of_numbers
                an_adopted_column_of_floats
            }
            bad_input {
                a_value_of_a_wrong_type_in_a_create
                a_value_of_a_wrong_type_in_an_update
                a_value_of_a_wrong_type_in_a_filter
                a_value_of_a_wrong_kind_in_a_record
                a_required_field_that_is_missing
                a_required_field_that_is_unset
                a_nullable_field_that_is_not_given
                an_unknown_field
                an_unknown_collection
                an_unknown_operator
                a_list_instead_of_a_value
                a_filter_of_a_wrong_form
                options_of_a_wrong_form
                changes_of_a_wrong_form
                a_change_of_the_key
                a_change_of_a_part_of_the_key
                an_increment_of_what_does_not_count
                a_key_of_a_wrong_form
                a_record_of_a_wrong_length
                an_object_of_a_wrong_form
                a_position_of_another_query
                every_way_into_the_storage_checks
                the_storage_works_on
            }
            changes {
                creates_updates_and_deletes
                keys_that_were_made_are_told
                a_batch_is_one_set
                what_continuations_change
                by_a_filter_exactly_the_objects_touched
                objects_that_were_left_out_are_not_told
                what_changes_nothing_is_not_told
                a_failed_batch_is_not_told
                a_change_is_told_after_its_commit
                everybody_is_told
                a_slow_receiver_is_told_what_it_missed
                what_another_device_did_is_told_as_such
                reserved_collections_are_not_told
                a_commit_is_told_even_when_a_middleware_fails_afterwards
            }
            live {
                the_first_result_is_what_is_there
                creates_updates_and_deletes
                another_collection_does_not_wake_it
                a_change_that_cannot_matter_is_not_read
                the_same_result_is_given_once
                what_is_taken_back_is_not_given
                several_changes_in_a_row_are_one_result
                a_write_before_the_first_reading
                c48_a_write_during_a_reading
                c48_writes_beside_it_are_never_missed
                the_first_of_an_order
                behind_an_offset
                behind_a_position
                objects_by_their_keys
                objects_by_keys_in_another_form
                only_the_fields_asked_for
                structs_and_json
                what_sync_applies
                more_changes_than_are_kept
                a_large_change
                closing_ends_it
                it_ends_with_the_storage
                a_wrong_query_is_told
                a_reading_that_fails_is_told
                a_dropped_future_loses_nothing
                it_is_what_the_query_finds
            }
            conveniences {
                least_greatest_and_sum_of_a_query
                distinct_values_of_a_query
                sums_of_pages_are_refused
                groups_in_json
                a_stream_gives_everything_in_order
                a_stream_of_a_part
                a_stream_and_writes_meanwhile
                a_stream_that_cannot_be_ends_with_its_error
                an_update_gives_the_objects_back
                an_update_if_its_condition_holds
                of_twenty_updates_on_one_condition_one_is_done
                an_upsert_creates_or_changes
                an_upsert_leaves_other_fields
                an_upsert_is_told_as_what_it_was
                an_upsert_that_cannot_be_is_refused
                an_upsert_needs_a_key
                an_upsert_by_a_compound_key
                of_twenty_upserts_of_one_key_one_creates
            }
            middleware {
                the_first_one_is_the_outermost
                every_operation_passes
                what_another_device_did_passes_none
                one_may_refuse
                one_may_answer
                an_answer_of_another_kind_is_an_error
                one_may_rewrite_and_extend
                one_may_repeat
                notes_reach_those_further_in
                one_may_bring_collections_along
                one_that_fails_to_open_closes_the_database
                collections_brought_along_twice_are_refused
            }
            custom_fields {
                a_value_is_converted_once_each_way
                an_absent_value
                another_update_leaves_it_alone
                a_type_that_converts_only_on_the_way_in
                structs_hold_what_the_application_sees
                filters_by_custom_values
                updates_with_custom_values
                values_that_do_not_fit
                increments_are_for_what_is_stored
                middleware_sees_what_is_stored
                definitions_that_cannot_be
            }
            watching {
                a_create_tells_the_key_that_was_made
                objects_with_compound_keys
                an_update_by_filter_tells_what_it_touched
                an_increment_tells_its_result
                a_delete_by_filter_tells_what_was_there
                the_steps_of_a_batch_in_order
                what_continuations_change
                what_cascades_change
                what_a_create_replaces_and_leaves_out
                nothing_is_told_of_what_was_rolled_back
                one_may_refuse_a_step
                only_the_collections_named
                reserved_collections_are_not_watched
                nobody_else_sees_the_reads
                what_another_device_did_is_not_told
                a_commit_is_told_once_whatever_becomes_of_the_outcome
            }
            validating {
                a_create_that_breaks_a_rule
                an_update_that_breaks_a_rule
                an_increment_that_breaks_a_rule
                a_continuation_that_breaks_a_rule
                each_step_is_checked_but_deletes
                a_rule_sees_the_object_as_a_struct
                a_rule_for_a_collection_that_is_not_there
            }
            read_only {
                every_write_is_refused
                reads_go_on
                only_the_collections_named_may_not_be_written
                cascades_are_refused
                custom_operations
            }
            modules {
                collections_with_their_history
                a_named_operation
                names_of_operations
                a_name_registered_twice
                a_name_that_the_backend_has
                operations_pass_the_chain
            }
            retrying {
                c79_what_was_busy_is_tried_again
                reads_are_tried_again
                only_so_many_times
                nothing_else_is_tried_again
            }
            lifecycle {
                a_closed_storage_says_so
                closing_twice_is_harmless
                a_suspended_storage_says_so_and_goes_on_when_it_is_resumed
                suspending_while_others_write_loses_nothing
                a_suspended_storage_may_be_closed
                a_closed_backend_says_so
                a_custom_operation_that_is_not_there
                a_flush_after_writes
                what_was_written_is_there_when_opened_again
                a_collection_is_added_when_opened_again
                a_database_that_does_not_fit_is_refused
                a_field_is_renamed_by_its_column
            }
            histories {
                a_name_that_was_given_up_is_taken_again
                any_version_opens_as_any_later_one
            }
            migrations {
                fields_are_added
                a_field_is_renamed
                two_fields_change_names
                a_collection_is_renamed
                a_field_is_removed
                a_collection_is_removed_when_told
                a_type_is_changed_by_a_function
                a_new_required_field_is_filled_by_a_function
                values_of_a_unique_index_move_from_one_object_to_the_next
                a_unique_index_is_added
                a_unique_index_that_does_not_hold_is_refused
                a_function_that_fails_changes_nothing
                what_was_not_told_is_refused
                a_newer_schema_is_refused_with_both_versions
                several_versions_at_once
                one_version_after_the_other
                a_plan_changes_nothing
                collections_of_a_middleware_are_migrated
            }
            concurrency {
                two_batches_both_land
                fifty_increments_all_count
                fifty_read_and_write_and_all_count
                of_twenty_with_one_key_one_wins
                a_failing_batch_fails_alone
                writers_read_their_own_writes
                closing_waits_for_what_is_running
            }
            snapshots {
                what_is_written_afterwards_is_not_seen
                what_was_written_before_is_seen
                many_pages_are_of_one_moment
                each_has_its_own_moment
                transactions_are_seen_whole
                dropping_leaves_no_trace
                closing_ends_it
                closing_the_backend_ends_it
                a_wrong_query_is_refused
                it_is_read_past_the_middleware
            }
        }
    };
}
