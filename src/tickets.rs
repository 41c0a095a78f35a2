//! A table of things that are under way, named by tickets that go stale when their thing is done.

use crate::calls::Ticket;

pub(crate) struct Tickets<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Tickets<T> {
    pub(crate) fn insert(&mut self, value: T) -> Ticket {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.1 = Some(value);
        Ticket { index, generation: place.0 }
    }

    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let place = self.places.get_mut(ticket.index as usize)?;
        if place.0 == ticket.generation { place.1.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let place = self.places.get_mut(ticket.index as usize).filter(|place| place.0 == ticket.generation)?;
        let value = place.1.take()?;
        place.0 = place.0.wrapping_add(1);
        self.free.push(ticket.index);
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ticket, &T)> {
        self.places.iter().enumerate().filter_map(|(index, (generation, value))| {
            Some((Ticket { index: index as u32, generation: *generation }, value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_ticket_finds_nothing() {
        let mut tickets = Tickets::default();
        let first = tickets.insert("first");
        assert_eq!(tickets.remove(first), Some("first"));
        let second = tickets.insert("second");
        assert_eq!(first.index, second.index);
        assert_eq!(tickets.get_mut(first), None);
        assert_eq!(tickets.remove(first), None);
        assert_eq!(tickets.get_mut(second), Some(&mut "second"));
    }
}
