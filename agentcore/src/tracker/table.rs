//! [`Table`]: the running tasks, or the requests in flight, by ticket.
//!
//! There are sixteen shards, each a slab behind its own lock, so that threads that begin tasks at the same time rarely meet.
//! The front never walks through all of them under a lock; see [`Table::try_show`].
//!
//! A ticket is shard, slot and generation in one number. A slot is used again, but a generation is not, so a stale ticket
//! finds nothing instead of another task. Generations begin at a random number, drawn when the first value comes, so a ticket
//! from before a restart finds nothing either.

use slab::Slab;

use crate::util::sync::{Mutex, MutexGuard, random, thread_number};

const SHARD_BITS: u32 = 4;
const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 64 - SHARD_BITS - SLOT_BITS;
const SHARDS: usize = 1 << SHARD_BITS;
const GENERATIONS: u64 = 1 << GENERATION_BITS;

/// A table of values by ticket. No ticket is given twice.
pub(crate) struct Table<T> {
    shards: [Shard<T>; SHARDS],
}

/// Aligned to cache lines of its own, because other threads use the neighbours.
#[repr(align(128))]
struct Shard<T>(Mutex<Slots<T>>);

struct Slots<T> {
    slab: Slab<(u64, T)>,
    /// The number of slots that have ever been in use.
    used: usize,
    /// `None` before the first value.
    next_generation: Option<u64>,
}

/// The number of slots that are shown under one lock. The front walks through tables, and workers need the locks that it
/// holds, so neither may hold one for long.
pub(super) const SLICE: usize = 256;

/// The place that a walk through a table has reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Position {
    shard: usize,
    slot: usize,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Shard(Mutex::new(Slots {
                    slab: Slab::new(),
                    used: 0,
                    next_generation: None,
                }))
            }),
        }
    }

    /// Inserts `value` and returns its ticket. Waits for another thread only if all shards are locked.
    ///
    /// # Panics
    ///
    /// When a shard holds 2²⁴ values.
    pub(crate) fn insert(&self, value: T) -> u64 {
        let own = thread_number() % SHARDS;
        // An interrupted thread may hold the lock for long, and any other shard will do.
        let free = (0..SHARDS)
            .map(|step| (own + step) % SHARDS)
            .find_map(|shard| Some((shard, self.try_lock(shard)?)));
        let (shard, mut slots) = free.unwrap_or_else(|| (own, self.lock(own)));
        let generation = slots
            .next_generation
            .unwrap_or_else(|| random() % GENERATIONS);
        // A shard's generations last for 2³⁶ values: nineteen hours at a million a second. After that, a stale ticket is
        // mistaken only if it has exactly that age and the slot is the same.
        slots.next_generation = Some((generation + 1) % GENERATIONS);
        let slot = slots.slab.insert((generation, value));
        assert!(slot < 1 << SLOT_BITS, "too many tasks at once");
        slots.used = slots.used.max(slot + 1);
        ticket(shard, slot, generation)
    }

    /// Removes the value of `ticket`, if it is still there.
    pub(crate) fn remove(&self, ticket: u64) -> Option<T> {
        let (shard, slot, generation) = split(ticket);
        self.with(shard, |slots| match slots.slab.get(slot) {
            Some((living, _)) if *living == generation => Some(slots.slab.remove(slot).1),
            _ => None,
        })
    }

    /// Runs `work` on the value of `ticket`, if it is still there.
    pub(crate) fn with_value<R>(&self, ticket: u64, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let (shard, slot, generation) = split(ticket);
        self.with(shard, |slots| match slots.slab.get_mut(slot) {
            Some((living, value)) if *living == generation => Some(work(value)),
            _ => None,
        })
    }

    /// Draws new generations: the process has been restored from a snapshot, as others may have been.
    pub(crate) fn begin_anew(&self) {
        for shard in 0..SHARDS {
            self.with(shard, |slots| slots.next_generation = None);
        }
    }

    /// Collects what `read` returns for the values, in no particular order. May miss a value that comes or goes meanwhile.
    pub(crate) fn filter_map<R>(&self, mut read: impl FnMut(u64, &T) -> Option<R>) -> Vec<R> {
        let mut found = Vec::new();
        let mut position = Some(Position::default());
        while let Some(at) = position {
            let slots = self.lock(at.shard);
            position = show(&slots, at, |ticket, value| {
                found.extend(read(ticket, value));
            });
        }
        found
    }

    /// Shows the next values to `read`, and returns the position after them; `None` at the end. If another thread holds the
    /// lock, it fails and has shown nothing.
    pub(crate) fn try_show(
        &self,
        at: Position,
        read: impl FnMut(u64, &T),
    ) -> Result<Option<Position>, Locked> {
        let slots = self.try_lock(at.shard).ok_or(Locked)?;
        Ok(show(&slots, at, read))
    }

    fn with<R>(&self, shard: usize, work: impl FnOnce(&mut Slots<T>) -> R) -> R {
        work(&mut self.lock(shard))
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Slots<T>> {
        // No user code runs under the lock, and a slab stays valid after a panic.
        self.shards[shard].0.lock()
    }

    /// `None` while another thread holds the lock.
    fn try_lock(&self, shard: usize) -> Option<MutexGuard<'_, Slots<T>>> {
        self.shards[shard].0.try_lock()
    }
}

/// Another thread holds the lock.
#[derive(Debug)]
pub(crate) struct Locked;

/// Shows a slice of a shard to `read`, and returns the position after it.
fn show<T>(
    slots: &Slots<T>,
    Position { shard, slot }: Position,
    mut read: impl FnMut(u64, &T),
) -> Option<Position> {
    let end = slots.used.min(slot + SLICE);
    for slot in slot..end {
        if let Some((generation, value)) = slots.slab.get(slot) {
            read(ticket(shard, slot, *generation), value);
        }
    }
    let next = if end < slots.used {
        Position { shard, slot: end }
    } else {
        Position {
            shard: shard + 1,
            slot: 0,
        }
    };
    (next.shard < SHARDS).then_some(next)
}

fn ticket(shard: usize, slot: usize, generation: u64) -> u64 {
    shard as u64 | (slot as u64) << SHARD_BITS | generation << (SHARD_BITS + SLOT_BITS)
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
