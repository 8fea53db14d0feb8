//! Unit tests of the tracker's parts. They stand here because the model checker's suite compiles those files with other
//! primitives, under which the tests could not run.

mod status {
    use super::super::status::*;
    use crate::PingStatus::{Healthy, HealthyBusy};

    fn at(seconds: u32) -> impl Fn() -> u32 {
        move || seconds
    }

    #[test]
    fn packing_loses_nothing() {
        for forced in [None, Some(Healthy), Some(HealthyBusy)] {
            for custom in [None, Some(Healthy), Some(HealthyBusy)] {
                for count in [0, 1, (1 << 28) - 1] {
                    let view = StatusView {
                        count,
                        forced,
                        custom,
                        stamp: u32::MAX,
                    };
                    assert_eq!(StatusView::unpack(view.pack()), view);
                }
            }
        }
    }

    #[test]
    fn only_the_first_and_the_last_activity_move_the_stamp() {
        let cell = StatusCell::new(10);
        cell.begin(at(20));
        cell.begin(at(30));
        assert_eq!(
            (cell.view().effective(), cell.view().stamp),
            (HealthyBusy, 20)
        );
        assert!(!cell.end(at(40)));
        assert_eq!(cell.view().stamp, 20);
        assert!(cell.end(at(50)));
        assert_eq!((cell.view().effective(), cell.view().stamp), (Healthy, 50));
    }

    #[test]
    fn forced_beats_custom_beats_automatic() {
        let cell = StatusCell::new(0);
        cell.begin(at(1));
        cell.set_custom(Some(Healthy), at(2));
        assert_eq!(cell.view().effective(), Healthy);
        cell.force(Some(HealthyBusy), at(3));
        assert_eq!(cell.view().effective(), HealthyBusy);
        cell.force(None, at(4));
        assert_eq!((cell.view().effective(), cell.view().stamp), (Healthy, 4));
    }

    #[test]
    fn forcing_what_already_holds_moves_nothing() {
        let cell = StatusCell::new(7);
        cell.force(Some(Healthy), at(8));
        cell.force(None, at(9));
        assert_eq!(cell.view().stamp, 7);
    }

    #[test]
    fn work_under_a_forced_status_moves_nothing() {
        let cell = StatusCell::new(7);
        cell.force(Some(Healthy), at(8));
        cell.begin(at(9));
        cell.end(at(10));
        assert_eq!((cell.view().effective(), cell.view().stamp), (Healthy, 7));
    }

    #[test]
    fn a_failing_custom_handler_moves_the_stamp_where_it_changes_the_status_and_once() {
        let cell = StatusCell::new(1);
        cell.set_custom(Some(HealthyBusy), at(2));
        cell.set_custom(None, at(3));
        assert_eq!((cell.view().effective(), cell.view().stamp), (Healthy, 3));
        cell.set_custom(None, at(4));
        assert_eq!(cell.view().stamp, 3);
        cell.set_custom(Some(Healthy), at(5));
        cell.set_custom(None, at(6));
        assert_eq!((cell.view().effective(), cell.view().stamp), (Healthy, 3));
    }
}

mod table {
    use super::super::table::*;

    #[test]
    fn a_stale_ticket_finds_nothing_in_a_slot_that_is_used_again() {
        let table = Table::new();
        let first = table.insert("first");
        assert_eq!(table.remove(first), Some("first"));
        let second = table.insert("second");
        assert_ne!(first, second);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.remove(second), Some("second"));
        assert_eq!(table.remove(second), None);
    }

    #[test]
    fn tables_of_other_processes_give_other_tickets() {
        let tickets = || {
            let table = Table::new();
            let before = table.insert(());
            table.begin_anew();
            [before, table.insert(())]
        };
        let mut all = [tickets(), tickets(), tickets()].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn any_number_is_a_harmless_ticket() {
        let table = Table::new();
        let ticket = table.insert(());
        for stray in [0_u64, 1, u64::MAX, ticket.wrapping_add(1), !ticket] {
            if stray != ticket {
                assert_eq!(table.remove(stray), None, "{stray}");
            }
        }
        assert_eq!(table.filter_map(|ticket, ()| Some(ticket)), [ticket]);
    }

    #[test]
    fn threads_see_each_others_values() {
        let table = Table::new();
        std::thread::scope(|scope| {
            for thread in 0..40 {
                scope.spawn({
                    let table = &table;
                    move || table.insert(thread)
                });
            }
        });
        let mut all = table.filter_map(|_, value| Some(*value));
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
    }
}
