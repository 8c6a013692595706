//! The store contract: one function for each rule of the store. They run on several implementations of DynamoDB.
//!
//! [`store_contract!`](crate::store_contract) turns them into tests on one DynamoDB.

pub mod address;
pub mod admin;
pub mod ended;
pub mod faults;
pub mod login;
pub mod machine;
pub mod moving;
pub mod passkey;
pub mod revocation;
pub mod rotation;
pub mod sessions;
pub mod wire;

use daypass_core::ports::store::StoreError;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Declares one test for every rule. `$start` names an `async fn` that returns a [`Bench`](crate::bench::Bench), and before
/// it a value that must live as long.
#[macro_export]
macro_rules! store_contract {
    ($start:ident) => {
        $crate::store_contract! { $start:
            login {
                an_unknown_user_is_none_and_the_attempt_counts
                a_user_reads_back
                a_migrated_user_is_created_once
                a_lost_answer_counts_once
                attempts_count_up_to_the_limit
                no_interval_holds_more_than_the_limit
                of_fifty_parallel_attempts_five_are_counted
                each_key_counts_for_itself
                a_slot_is_given_back_once
                another_limit_holds_for_the_same_counter
                known_addresses_are_kept_with_the_user
                a_new_password_forgets_known_addresses
                a_login_stores_the_session_and_settles_the_counter
                the_largest_session_reads_back
                a_user_who_changed_meanwhile_opens_nothing
                a_new_hash_is_stored_with_the_session
                opening_again_changes_nothing
                a_session_id_is_never_taken_over
                no_session_opens_while_the_user_is_disabled
                no_session_opens_on_the_old_password
            }
            rotation {
                the_session_moves_on
                a_named_rotation_shortens_its_own_grace_only
                every_generation_rotates_once
                what_cannot_rotate_is_left_alone
                time_ends_a_session_to_the_millisecond
                either_end_counts
                a_client_gets_its_own_tokens_only
                a_client_that_is_not_registered_keeps_its_sessions
                scope_is_checked_by_the_write
                an_idle_limit_moves_with_use_up_to_the_absolute_end
                an_idle_limit_that_was_lifted_holds_no_longer
                of_sixty_four_parallel_rotations_one_is_stored
                grace_ends_by_time_and_a_replay_does_not_extend_it
                grace_ends_when_the_successor_is_used
                our_own_retry_is_known_without_grace
                a_request_that_never_arrived_is_sent_again
                absent_means_invalid
            }
            revocation {
                a_session_ends_once
                of_parallel_revocations_one_ends_the_session
                an_absent_session_is_not_made
                another_clients_session_stays
                a_rotation_in_between_saves_no_session
                all_live_sessions_end_and_no_others
                what_was_opened_since_is_spared
                a_clock_that_is_ahead_spares_no_session
                an_ending_knows_itself_again
                an_ended_session_is_removed_after_an_hour
                the_least_used_sessions_beyond_the_limit_end
                all_pages_are_ended
                logins_and_rotations_in_between_save_no_session
                an_item_that_cannot_be_read_shields_no_other
            }
            ended {
                every_ending_is_in_the_index_and_nothing_else
                all_buckets_are_read
                what_is_written_late_says_so
                too_many_are_no_list
                a_failing_index_is_unavailable
            }
            sessions {
                a_users_sessions_are_read_with_one_query
                all_pages_are_read
                an_item_that_cannot_be_read_hides_no_other
                one_session_is_read_with_one_request
                a_session_is_ended_with_one_write
                a_session_of_another_user_is_absent
                an_item_that_cannot_be_read_is_ended
                of_parallel_endings_one_ends_the_session
                a_failing_store_is_unavailable
                slow_pages_are_given_up
            }
            faults {
                what_passes_is_unavailable_and_the_token_still_works
                a_store_that_hangs_is_unavailable
                a_store_that_is_not_there_is_unavailable
                what_stays_is_broken_at_the_first_try
                one_failure_is_not_noticed
                a_transaction_conflict_is_tried_again
                an_answer_without_a_body_is_no_answer
                a_missing_table_is_named_as_such
                an_unreadable_item_is_broken_and_named
                many_sessions_are_ended_in_several_calls
            }
            wire {
                a_login_is_three_requests_in_two_round_trips
                a_refresh_and_a_revocation_are_one_request_each
                the_largest_session_costs_one_write_unit
                expressions_hold_no_input
            }
            machine {
                an_assertion_is_used_once_until_its_time
                of_parallel_uses_one_is_the_first
                a_use_whose_answer_was_lost_is_the_first
            }
            passkey {
                a_passkey_reads_back
                a_credential_has_one_user
                an_added_passkey_whose_answer_was_lost_is_added
                of_parallel_registrations_one_is_stored
                a_passkey_opens_a_session
                a_passkey_login_whose_answer_was_lost_is_one_login
                a_challenge_opens_one_session
                what_changed_meanwhile_opens_nothing
                passkeys_of_others_stay
                a_removed_user_leaves_no_passkeys
            }
            address {
                an_address_has_one_user
                a_name_that_is_an_address_belongs_to_its_user
                an_address_moves_in_one_transaction
                an_address_whose_answer_was_lost_is_set_once
                of_parallel_claims_one_is_stored
                a_removed_user_frees_the_address
                a_change_of_address_spares_no_removal
                claims_of_addresses_are_no_users
                an_import_claims_the_address
                a_migrated_user_claims_the_address
                a_change_of_claims_reaches_live_sessions
                a_login_with_old_claims_opens_nothing
                parallel_changes_of_claims_end_alike
                an_older_change_of_claims_does_not_win
            }
            admin {
                a_name_is_taken_once
                an_added_user_whose_answer_was_lost_is_added
                users_come_page_by_page
                a_session_that_comes_to_light_late_ends_too
                disabling_ends_the_sessions_and_enabling_revives_none
                a_new_password_ends_the_sessions
                a_scope_that_was_taken_leaves_the_sessions
                a_session_that_comes_to_light_late_is_narrowed_too
                a_change_of_scope_that_broke_off_is_finished_by_the_next
                a_removed_user_is_gone_with_the_sessions
                a_removal_that_broke_off_is_finished_by_the_next
                a_removal_spares_the_next_of_that_name
                a_removal_spares_a_user_who_is_enabled_again
                nobody_is_changed_who_is_not_there
                tables_are_made_once
                a_table_with_other_keys_is_refused
                a_table_without_the_index_is_refused
            }
            moving {
                a_line_is_imported_once
                who_has_changed_since_is_left
                an_export_changes_nothing_where_it_was_made
                an_import_whose_answer_was_lost_is_one
                segments_give_everybody_once
                a_filter_gives_who_fits
                an_item_that_is_no_user_hides_nobody
            }
        }
    };
    ($start:ident: $($module:ident { $($rule:ident)* })*) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let (_alive, bench) = super::$start().await;
                $crate::contract::$module::$rule(&bench).await;
            })*

            #[test]
            fn every_rule_is_listed() {
                $crate::contract::assert_listed(stringify!($module), &[$(stringify!($rule)),*]);
            }
        })*
    };
}

/// Panics if a rule of the module is missing in the list above, because it would never run.
pub fn assert_listed(module: &str, listed: &[&str]) {
    let source = match module {
        "address" => include_str!("address.rs"),
        "admin" => include_str!("admin.rs"),
        "ended" => include_str!("ended.rs"),
        "faults" => include_str!("faults.rs"),
        "login" => include_str!("login.rs"),
        "machine" => include_str!("machine.rs"),
        "moving" => include_str!("moving.rs"),
        "passkey" => include_str!("passkey.rs"),
        "revocation" => include_str!("revocation.rs"),
        "rotation" => include_str!("rotation.rs"),
        "sessions" => include_str!("sessions.rs"),
        "wire" => include_str!("wire.rs"),
        _ => "",
    };
    let written: BTreeSet<&str> =
        source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next()).collect();
    assert_eq!(written, listed.iter().copied().collect());
}

/// Panics unless the store was unavailable.
pub(crate) fn assert_unavailable<T: Debug>(result: &Result<T, StoreError>, case: &str) {
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{case}: {result:?}");
}

/// Panics unless the store is broken. Returns the text for the log.
#[expect(clippy::panic, reason = "fails as the test does")]
pub(crate) fn broken<T: Debug>(result: Result<T, StoreError>, case: &str) -> String {
    match result {
        Err(StoreError::Broken(text)) => text,
        other => panic!("{case}: {other:?}"),
    }
}
