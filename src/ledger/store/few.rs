//! A few things by their keys. The one that was asked for last is found at once, because
//! who adds up days asks for the same one a thousand times.

/// Things by their keys, in the order in which they were first asked for.
#[derive(Clone)]
pub(super) struct Few<K, T> {
    pub all: Vec<(K, T)>,
    last: usize,
}

impl<K, T> Default for Few<K, T> {
    fn default() -> Few<K, T> {
        Few {
            all: Vec::new(),
            last: 0,
        }
    }
}

impl<K: Copy + PartialEq, T: Default> Few<K, T> {
    /// What stands under `key`, which is made where nothing does. It is always there.
    #[inline]
    pub(super) fn at(&mut self, key: K) -> Option<&mut T> {
        if self.all.get(self.last).map(|it| it.0) != Some(key) {
            let found = self.all.iter().position(|it| it.0 == key);
            self.last = found.unwrap_or(self.all.len());
            if found.is_none() {
                self.all.push((key, T::default()));
            }
        }
        self.all.get_mut(self.last).map(|it| &mut it.1)
    }
}
