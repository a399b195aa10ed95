//! Serves a trace of requests with one layout of the KV cache.
//!
//! The server batches continuously (Yu et al., 2022): in each step every running request writes one token, and waiting
//! requests are admitted in the order of their arrival as long as the layout has memory for them. The step in which a
//! request is admitted also reads its prompt. Memory is counted in slots: a slot holds the keys and values of one token
//! in all layers.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// A request: the step in which it arrives, and the numbers of tokens that it reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) arrival: u64,
    pub(crate) prompt: u64,
    pub(crate) output: u64,
}

/// The sizes of a server, in tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// The memory for the KV cache, in slots.
    pub(crate) slots: u64,
    /// The most tokens that a request may write; the server does not know how many it will write.
    pub(crate) limit: u64,
    /// The length of a static cache.
    pub(crate) length: u64,
    /// The tokens before a token that a layer with a window sees, that token included.
    pub(crate) window: u64,
    /// The slots of a block of the paged cache.
    pub(crate) block: u64,
}

/// A layout of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Exactly the tokens; each step copies them to a new buffer with one token more.
    Contiguous,
    /// A buffer for the prompt and the most tokens that may follow, updated in place.
    Shared,
    /// A buffer of one length for every request.
    Static,
    /// A ring with the tokens of the window.
    Sliding,
    /// Blocks anywhere in the memory, which a block table lists; the next block is taken when the last one is full.
    Paged,
}

impl Layout {
    pub(crate) const ALL: [Self; 5] = [Self::Contiguous, Self::Shared, Self::Static, Self::Sliding, Self::Paged];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Contiguous => "contiguous",
            Self::Shared => "shared",
            Self::Static => "static",
            Self::Sliding => "sliding",
            Self::Paged => "paged",
        }
    }
}

/// The state of the memory in one step, when most of it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The slots that hold tokens which later steps read.
    pub(crate) used: u64,
    /// The slots that no other request can have.
    pub(crate) reserved: u64,
    /// The number of running requests.
    pub(crate) running: u64,
}

/// What happened to the requests of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) steps: Vec<Step>,
    /// The requests that wrote all their tokens.
    pub(crate) served: u64,
    /// The requests that do not fit, however long they wait.
    pub(crate) refused: u64,
    /// How often a running request lost its memory and started again.
    pub(crate) evictions: u64,
    /// The tokens whose keys and values were computed again after an eviction.
    pub(crate) recomputed: u64,
    /// The tokens that left the window.
    pub(crate) dropped: u64,
    /// The steps between the arrivals and the first admissions, in total.
    pub(crate) waited: u64,
    /// The steps in which a request waited although enough slots were free, because they were not adjacent.
    pub(crate) fragmented: u64,
}

/// The memory: ranges of slots, of which the first that is long enough is taken.
#[derive(Debug)]
struct Pool {
    /// The length of each free range by its start; free ranges are not adjacent.
    free: BTreeMap<u64, u64>,
    available: u64,
}

impl Pool {
    fn new(slots: u64) -> Self {
        Self { free: BTreeMap::from([(0, slots)]), available: slots }
    }

    fn take(&mut self, length: u64) -> Option<Range<u64>> {
        let (start, found) = self.free.iter().map(|(start, found)| (*start, *found)).find(|(_, of)| *of >= length)?;
        self.free.remove(&start);
        if found > length {
            self.free.insert(start + length, found - length);
        }
        self.available -= length;
        Some(start..start + length)
    }

    fn give_back(&mut self, range: &Range<u64>) {
        let (mut start, mut end) = (range.start, range.end);
        self.available += end - start;
        if let Some(length) = self.free.remove(&end) {
            end += length;
        }
        if let Some((&before, &length)) = self.free.range(..start).next_back()
            && before + length == start
        {
            start = before;
        }
        self.free.insert(start, end - start);
    }

    /// Takes `count` ranges, or none.
    fn take_all(&mut self, count: u64, length: u64) -> Option<Vec<Range<u64>>> {
        let mut taken = vec![];
        for _ in 0..count {
            let Some(range) = self.take(length) else {
                for range in &taken {
                    self.give_back(range);
                }
                return None;
            };
            taken.push(range);
        }
        Some(taken)
    }
}

/// A request that waits: for the first time, or after an eviction.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: Request,
    /// The tokens that it has written; its keys and values are lost.
    written: u64,
}

#[derive(Debug)]
struct Running {
    request: Request,
    written: u64,
    /// The tokens whose keys and values are known, those that left the window included.
    known: u64,
    /// Its slots; of the paged cache, the block table.
    held: Vec<Range<u64>>,
}

struct Serving {
    layout: Layout,
    server: Server,
    pool: Pool,
}

impl Serving {
    /// Returns whether a request fits when it runs alone.
    fn fits(&self, request: Request) -> bool {
        let (Request { prompt, output, .. }, server) = (request, self.server);
        let slots = match self.layout {
            Layout::Contiguous => 2 * (prompt + output),
            Layout::Shared => prompt + server.limit,
            Layout::Static if prompt + output > server.length => return false,
            Layout::Static => server.length,
            Layout::Sliding => server.window.min(prompt + server.limit),
            Layout::Paged => (prompt + output).next_multiple_of(server.block),
        };
        slots <= server.slots
    }

    /// Takes the slots with which a request starts, of which it computes `known` tokens at once.
    fn start(&mut self, request: Request, known: u64) -> Option<Vec<Range<u64>>> {
        let Server { limit, length, window, block, .. } = self.server;
        match self.layout {
            Layout::Contiguous => {
                let range = self.pool.take(known)?;
                // Otherwise its first step would evict it.
                let Some(copy) = self.pool.take(known + 1) else {
                    self.pool.give_back(&range);
                    return None;
                };
                self.pool.give_back(&copy);
                Some(vec![range])
            }
            Layout::Shared => self.pool.take_all(1, request.prompt + limit),
            Layout::Static => self.pool.take_all(1, length),
            Layout::Sliding => self.pool.take_all(1, window.min(request.prompt + limit)),
            Layout::Paged => self.pool.take_all(known.div_ceil(block), block),
        }
    }

    /// Returns the free slots with which [`Self::start`] would succeed, were they adjacent.
    fn needed(&self, request: Request, known: u64) -> u64 {
        let Server { limit, length, window, block, .. } = self.server;
        match self.layout {
            Layout::Contiguous => 2 * known + 1,
            Layout::Shared => request.prompt + limit,
            Layout::Static => length,
            Layout::Sliding => window.min(request.prompt + limit),
            Layout::Paged => known.next_multiple_of(block),
        }
    }

    /// Makes room for one token more; `false` if there is none.
    fn extend(&mut self, running: &mut Running) -> bool {
        let length = match self.layout {
            Layout::Contiguous => running.known + 1,
            Layout::Paged if running.known.is_multiple_of(self.server.block) => self.server.block,
            _ => return true,
        };
        let taken = self.pool.take(length);
        let has_room = taken.is_some();
        running.held.extend(taken);
        has_room
    }

    fn release(&mut self, held: &[Range<u64>]) {
        for range in held {
            self.pool.give_back(range);
        }
    }
}

/// Serves requests, which are in the order of their arrival, and returns what happened.
pub(crate) fn serve(requests: &[Request], server: Server, layout: Layout) -> Outcome {
    // A static cache has rows, the paged cache has blocks; what is left of the memory is not used.
    let unit = match layout {
        Layout::Static => server.length,
        Layout::Paged => server.block,
        _ => 1,
    };
    let mut serving = Serving { layout, server, pool: Pool::new(server.slots / unit * unit) };
    let total = serving.pool.available;
    let mut outcome = Outcome::default();
    let (mut arriving, mut waiting, mut running) = (requests.iter().peekable(), VecDeque::new(), Vec::<Running>::new());
    for now in 0.. {
        while let Some(&request) = arriving.next_if(|request| request.arrival <= now) {
            if serving.fits(request) {
                waiting.push_back(Waiting { request, written: 0 });
            } else {
                outcome.refused += 1;
            }
        }
        if arriving.peek().is_none() && waiting.is_empty() && running.is_empty() {
            break;
        }

        // The request that was admitted last gives way, and starts again as the first that waits.
        let (mut at, evictions) = (0, outcome.evictions);
        while let Some(one) = running.get_mut(at) {
            if serving.extend(one) {
                outcome.dropped += u64::from(layout == Layout::Sliding && one.known >= server.window);
                (one.known, one.written) = (one.known + 1, one.written + 1);
                at += 1;
            } else if let Some(evicted) = running.pop() {
                serving.release(&evicted.held);
                outcome.evictions += 1;
                outcome.recomputed += evicted.known;
                waiting.push_front(Waiting { request: evicted.request, written: evicted.written });
            }
        }

        while let Some(&Waiting { request, written }) = waiting.front().filter(|_| outcome.evictions == evictions) {
            let known = request.prompt + written;
            let Some(held) = serving.start(request, known) else {
                let fits = serving.needed(request, known) <= serving.pool.available;
                outcome.fragmented += u64::from(fits);
                break;
            };
            waiting.pop_front();
            if layout == Layout::Sliding {
                outcome.dropped += known.saturating_sub(server.window);
            }
            if written == 0 {
                outcome.waited += now - request.arrival;
            }
            running.push(Running { request, written: written + 1, known, held });
        }

        let holds = |one: &Running| if layout == Layout::Sliding { one.known.min(server.window) } else { one.known };
        outcome.steps.push(Step {
            used: running.iter().map(holds).sum(),
            reserved: total - serving.pool.available,
            running: running.len() as u64,
        });

        for one in running.iter_mut().filter(|one| layout == Layout::Contiguous && one.held.len() > 1) {
            serving.release(&[one.held.remove(0)]);
        }
        running.retain(|one| {
            let is_done = one.written == one.request.output;
            if is_done {
                serving.release(&one.held);
                outcome.served += 1;
            }
            !is_done
        });
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Lengths, random};

    const SERVER: Server = Server { slots: 4096, limit: 256, length: 512, window: 64, block: 16 };

    fn trace() -> Vec<Request> {
        let lengths = Lengths { per_step: 0.2, prompt: 60.0, output: 40.0 };
        random(200, 7, lengths, SERVER.limit)
    }

    /// Every request ends with all its tokens, or is refused; in every step the memory holds what is used.
    #[test]
    fn all_requests_are_served() {
        for layout in Layout::ALL {
            let outcome = serve(&trace(), SERVER, layout);
            assert_eq!(outcome.served + outcome.refused, 200, "{layout:?}");
            for step in &outcome.steps {
                assert!(step.used <= step.reserved && step.reserved <= SERVER.slots, "{layout:?}: {step:?}");
            }
            let last = outcome.steps.last().expect("there are steps");
            assert!(last.running > 0, "{layout:?}: the last step serves somebody");
        }
    }

    /// A block is taken when a token needs it, so each request wastes less than a block.
    #[test]
    fn paged_wastes_less_than_a_block_per_request() {
        let outcome = serve(&trace(), SERVER, Layout::Paged);
        assert!(outcome.evictions == 0 && outcome.fragmented == 0, "there is memory enough: {outcome:?}");
        for step in &outcome.steps {
            assert!(step.reserved - step.used < (step.running * SERVER.block).max(1), "{step:?}");
        }
    }

    /// The slots of one request in the step that writes its last token, by the formulas of docs/kv-cache.md.
    #[test]
    fn one_request_reserves_what_the_formulas_say() {
        let request = Request { arrival: 0, prompt: 70, output: 31 };
        // The last token is written, not read.
        let tokens = request.prompt + request.output - 1;
        for (layout, reserved, used) in [
            (Layout::Contiguous, 2 * tokens - 1, tokens),
            (Layout::Shared, request.prompt + SERVER.limit, tokens),
            (Layout::Static, SERVER.length, tokens),
            (Layout::Sliding, SERVER.window, SERVER.window),
            (Layout::Paged, tokens.next_multiple_of(SERVER.block), tokens),
        ] {
            let outcome = serve(&[request], SERVER, layout);
            assert_eq!(outcome.steps.last(), Some(&Step { used, reserved, running: 1 }), "{layout:?}");
            assert_eq!(outcome.steps.len() as u64, request.output, "{layout:?}: one token a step");
            let dropped = if layout == Layout::Sliding { tokens - SERVER.window } else { 0 };
            assert_eq!(outcome.dropped, dropped, "{layout:?}");
        }
    }

    /// Two requests of 3 blocks in a memory of 4: the second one gives way, reads its prompt and what it wrote again,
    /// and writes the rest.
    #[test]
    fn the_last_request_is_evicted_and_starts_again() {
        let server = Server { slots: 16, limit: 8, length: 16, window: 16, block: 4 };
        let request = Request { arrival: 0, prompt: 7, output: 4 };
        let outcome = serve(&[request; 2], server, Layout::Paged);
        // Both have 8 tokens after their second step; the third needs two blocks, and none is free.
        assert_eq!((outcome.served, outcome.evictions, outcome.recomputed), (2, 1, 8));
        let running: Vec<u64> = outcome.steps.iter().map(|step| step.running).collect();
        assert_eq!(running, [2, 2, 1, 1, 1, 1]);
    }

    /// Free slots that are not adjacent serve blocks, and not a buffer.
    #[test]
    fn holes_serve_blocks_only() {
        let server = Server { slots: 48, limit: 8, length: 16, window: 16, block: 4 };
        let of = |arrival, prompt, output| Request { arrival, prompt, output };
        // The first and the third end after one step and leave holes of 16 slots around the second.
        let requests = [of(0, 8, 1), of(0, 8, 8), of(0, 8, 1), of(1, 20, 2)];
        assert!(serve(&requests, server, Layout::Shared).fragmented > 0);
        let paged = serve(&requests, server, Layout::Paged);
        assert_eq!((paged.fragmented, paged.waited), (0, 0));
    }

    #[test]
    fn a_request_that_never_fits_is_refused() {
        let server = Server { slots: 64, limit: 8, length: 16, window: 16, block: 4 };
        let long = Request { arrival: 0, prompt: 60, output: 8 };
        for layout in Layout::ALL {
            let expected = u64::from(layout != Layout::Sliding);
            assert_eq!(serve(&[long], server, layout).refused, expected, "{layout:?}");
        }
    }
}
