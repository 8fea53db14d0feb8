//! The names, start times and metadata of living tasks.
//!
//! Sixteen shards, each a slab behind its own lock, so that threads that begin tasks at the same time rarely meet. A
//! ticket is shard, slot and generation in one number: a slot is used again, a generation never is, so a stale ticket
//! finds nothing instead of a stranger's task. Generations begin at a random number, drawn when the first value comes: a
//! ticket from before a restart finds nothing either.

use slab::Slab;

use super::sync::{Mutex, random, thread_number};

const SHARD_BITS: u32 = 4;
const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 64 - SHARD_BITS - SLOT_BITS;
const SHARDS: usize = 1 << SHARD_BITS;
const GENERATIONS: u64 = 1 << GENERATION_BITS;

/// A table of `T`s under tickets that are never given twice.
pub(crate) struct Table<T> {
    shards: [Shard<T>; SHARDS],
}

/// On cache lines of its own: neighbours are used by other threads.
#[repr(align(128))]
struct Shard<T>(Mutex<Slots<T>>);

struct Slots<T> {
    slab: Slab<(u64, T)>,
    /// `None` before the first value.
    next_generation: Option<u64>,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Shard(Mutex::new(Slots {
                    slab: Slab::new(),
                    next_generation: None,
                }))
            }),
        }
    }

    /// Puts `value` in, and returns its ticket.
    ///
    /// # Panics
    ///
    /// When a shard holds 2²⁴ values.
    pub(crate) fn insert(&self, value: T) -> u64 {
        let shard = thread_number() % SHARDS;
        self.with(shard, |slots| {
            let generation = slots
                .next_generation
                .unwrap_or_else(|| random() % GENERATIONS);
            // 2³⁶ values per shard: at a million a second, nineteen hours. Around again it would take a stale ticket
            // of exactly that age, in the same slot, to be mistaken.
            slots.next_generation = Some((generation + 1) % GENERATIONS);
            let slot = slots.slab.insert((generation, value)) as u64;
            assert!(slot < 1 << SLOT_BITS, "too many tasks at once");
            shard as u64 | slot << SHARD_BITS | generation << (SHARD_BITS + SLOT_BITS)
        })
    }

    /// Takes out what `ticket` was given for, unless it is gone already.
    pub(crate) fn remove(&self, ticket: u64) -> Option<T> {
        let (shard, slot, generation) = split(ticket);
        self.with(shard, |slots| match slots.slab.get(slot) {
            Some((living, _)) if *living == generation => Some(slots.slab.remove(slot).1),
            _ => None,
        })
    }

    /// `work` on what `ticket` was given for, if it is still there.
    pub(crate) fn with_value<R>(&self, ticket: u64, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let (shard, slot, generation) = split(ticket);
        self.with(shard, |slots| match slots.slab.get_mut(slot) {
            Some((living, value)) if *living == generation => Some(work(value)),
            _ => None,
        })
    }

    /// Draws new numbers for the tickets to come: the process has been restored from a snapshot, and so have its twins.
    pub(crate) fn begin_anew(&self) {
        for shard in 0..SHARDS {
            self.with(shard, |slots| slots.next_generation = None);
        }
    }

    /// What `read` makes of the values, in no particular order.
    pub(crate) fn filter_map<R>(&self, read: impl Fn(u64, &T) -> Option<R>) -> Vec<R> {
        let mut found = Vec::new();
        for shard in 0..SHARDS {
            self.with(shard, |slots| {
                found.extend(slots.slab.iter().filter_map(|(slot, (generation, value))| {
                    read(
                        shard as u64
                            | (slot as u64) << SHARD_BITS
                            | generation << (SHARD_BITS + SLOT_BITS),
                        value,
                    )
                }));
            });
        }
        found
    }

    fn with<R>(&self, shard: usize, work: impl FnOnce(&mut Slots<T>) -> R) -> R {
        // No user code runs under the lock, and a slab that panicked half-way is still a slab.
        let mut slots = self.shards[shard]
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut slots)
    }
}

fn split(ticket: u64) -> (usize, usize, u64) {
    (
        (ticket % SHARDS as u64) as usize,
        (ticket >> SHARD_BITS) as usize % (1 << SLOT_BITS),
        ticket >> (SHARD_BITS + SLOT_BITS),
    )
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}
