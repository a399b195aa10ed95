//! Takes the elements out of a list while its memory is given back.

/// An iterator over the elements of a list, first to last, that gives back the memory of those taken: what is built from
/// a million of them needs it.
pub(crate) struct Consumed<T>(Vec<T>);

impl<T> Consumed<T> {
    pub(crate) fn new(mut list: Vec<T>) -> Self {
        list.reverse();
        Self(list)
    }
}

impl<T> Iterator for Consumed<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let next = self.0.pop();
        // Each time the list is half as long, so that elements are moved only once on average.
        if self.0.len() <= self.0.capacity() / 2 {
            self.0.shrink_to_fit();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_becomes_shorter_in_memory() {
        let mut list = Consumed::new((0..1000).collect());
        for at in 0..1000 {
            assert_eq!(list.next(), Some(at));
            assert!(list.0.capacity() <= 2 * list.0.len() + 1, "{} of {}", list.0.capacity(), list.0.len());
        }
        assert_eq!(list.next(), None);
    }
}
