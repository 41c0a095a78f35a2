//! Requests read in place: an array of topics, each with an array of partitions, of which nothing is built.
//!
//! A walk is checked to its end once, when it is made; its iterators then read the same bytes again and cannot fail.
//! An iterator is a position in the frame, so it is cheap to copy and to start over.

use std::marker::PhantomData;

use crate::codec::{DecodeError, Decoder};
use crate::uuid::Uuid;

/// What one partition of a walked request says.
pub trait Walked<'a>: Sized {
    /// The fewest bytes of it in any version; bounds the count of an array.
    const MIN_SIZE: usize;
    fn read(d: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError>;
}

/// How the version of a request writes its arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub version: i16,
    /// Compact lengths and tagged fields (KIP-482).
    pub flex: bool,
    /// Topics go by id (KIP-516), not by name.
    pub by_id: bool,
}

/// A topic of a request: by name or by id, as the version has it; the other one is empty or zero.
#[derive(Debug, Clone)]
pub struct Topic<'a, P> {
    pub name: &'a str,
    pub topic_id: Uuid,
    pub partitions: Partitions<'a, P>,
}

/// The topics of a request, in its order. A topic may come twice: a client decides that, not the walk.
#[derive(Debug, Clone)]
pub struct Topics<'a, P> {
    d: Decoder<'a>,
    left: usize,
    shape: Shape,
    kind: PhantomData<P>,
}

/// The partitions of one topic, in the order of the request.
#[derive(Debug, Clone)]
pub struct Partitions<'a, P> {
    d: Decoder<'a>,
    left: usize,
    shape: Shape,
    kind: PhantomData<P>,
}

impl<'a, P: Walked<'a>> Topics<'a, P> {
    /// Reads the array of topics at `d` to its end, and gives a walk over it and the count of partitions.
    pub(crate) fn check(d: &mut Decoder<'a>, shape: Shape) -> Result<(Self, usize), DecodeError> {
        // A topic is at least an empty name and an empty array.
        let left = d.count(shape.flex, false, 2)?.unwrap_or(0);
        let topics = Topics { d: d.clone(), left, shape, kind: PhantomData };
        let mut partitions = 0;
        for _ in 0..left {
            partitions += read_topic::<P>(d, shape)?.partitions.left;
            skip_partitions::<P>(d, shape)?;
        }
        Ok((topics, partitions))
    }

    /// No topics, for a version that lacks the array.
    pub(crate) fn none(d: &Decoder<'a>, shape: Shape) -> Self {
        Topics { d: d.clone(), left: 0, shape, kind: PhantomData }
    }

    fn read(&mut self) -> Result<Topic<'a, P>, DecodeError> {
        let topic = read_topic(&mut self.d, self.shape)?;
        skip_partitions::<P>(&mut self.d, self.shape)?;
        Ok(topic)
    }
}

/// Reads the name or id, and leaves `d` at the array of partitions.
fn read_topic<'a, P>(d: &mut Decoder<'a>, shape: Shape) -> Result<Topic<'a, P>, DecodeError>
where
    P: Walked<'a>,
{
    let name = if shape.by_id { "" } else { d.str(shape.flex)? };
    let topic_id = if shape.by_id { d.uuid()? } else { Uuid::ZERO };
    let mut inner = d.clone();
    let left = inner.count(shape.flex, false, P::MIN_SIZE)?.unwrap_or(0);
    Ok(Topic { name, topic_id, partitions: Partitions { d: inner, left, shape, kind: PhantomData } })
}

/// Passes over the array of partitions and the tags of their topic.
fn skip_partitions<'a, P: Walked<'a>>(d: &mut Decoder<'a>, shape: Shape) -> Result<(), DecodeError> {
    let count = d.count(shape.flex, false, P::MIN_SIZE)?.unwrap_or(0);
    for _ in 0..count {
        P::read(d, shape)?;
    }
    if shape.flex { d.skip_tags() } else { Ok(()) }
}

impl<'a, P: Walked<'a>> Iterator for Topics<'a, P> {
    type Item = Topic<'a, P>;

    fn next(&mut self) -> Option<Topic<'a, P>> {
        self.left = self.left.checked_sub(1)?;
        let topic = self.read();
        debug_assert!(topic.is_ok(), "the walk was checked to its end");
        topic.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, P: Walked<'a>> Iterator for Partitions<'a, P> {
    type Item = P;

    fn next(&mut self) -> Option<P> {
        self.left = self.left.checked_sub(1)?;
        let partition = P::read(&mut self.d, self.shape);
        debug_assert!(partition.is_ok(), "the walk was checked to its end");
        partition.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, P: Walked<'a>> ExactSizeIterator for Topics<'a, P> {}
impl<'a, P: Walked<'a>> ExactSizeIterator for Partitions<'a, P> {}
