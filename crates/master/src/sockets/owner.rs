//! The sockets that are listened on: of the generation that holds, of the one before it, and those that this process was
//! started with.

use std::rc::Rc;

use sys::image::adopt;
use sys::listener::{Address, Listener};
use wire::state::{self, Origin};

use crate::carried::Number;
use crate::config::settings::Settings;
use crate::log::lines::Log;
use crate::sockets::bound::{Bound, Listeners, add};
use crate::sockets::error::Error;
use crate::sockets::inherited::{Inherited, NAMELESS};
use crate::sockets::listeners::{self, Wait};
use crate::sockets::queue::Queue;

/// All sockets of the server, and the queue that its workers share.
pub(crate) struct Sockets {
    pub(crate) inherited: Inherited,
    /// What the generation that holds listens on.
    pub(crate) listeners: Listeners,
    /// What a failed roll goes back to.
    before: Option<Listeners>,
    /// Where workers give connections to each other.
    pub(crate) queue: Queue,
}

impl Sockets {
    /// None is listened on yet.
    pub(crate) fn of(inherited: Inherited, queue: Queue) -> Self {
        Self { inherited, listeners: Listeners::new(), before: None, queue }
    }

    /// Those of all living generations; `molds` are the lists of their molds.
    pub(crate) fn present<'a>(&self, molds: impl Iterator<Item = &'a Listeners>) -> Listeners {
        let mut all = self.listeners.clone();
        molds.flatten().for_each(|bound| add(&mut all, bound));
        all
    }

    /// Makes the list that `settings` ask for; see [`listeners::prepare`].
    ///
    /// # Errors
    /// An address that cannot be bound, after it was logged.
    pub(crate) fn prepare(
        &self,
        settings: &Settings,
        present: &[Rc<Bound>],
        log: &Log,
        wait: Option<Wait<'_>>,
    ) -> Result<Listeners, Error> {
        listeners::prepare(settings, &self.inherited, present, log, wait)
    }

    /// Adds to a list those that the master before this one handed over: only a reload can leave them out.
    pub(crate) fn add_handed_over(&self, listeners: &mut Listeners) {
        self.inherited.handed_over.iter().for_each(|bound| add(listeners, bound));
    }

    /// The first list: returns the sockets of the store, of which those that nothing asks for are closed now.
    pub(crate) fn begin(&mut self, listeners: Listeners) -> Listeners {
        self.listeners = listeners;
        std::mem::take(&mut self.inherited.stored)
    }

    /// Another list holds; the one before is kept for a roll back.
    pub(crate) fn commit(&mut self, listeners: Listeners) {
        self.before = Some(std::mem::replace(&mut self.listeners, listeners));
    }

    /// The list before holds again.
    pub(crate) fn roll_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.listeners = before;
        }
    }

    /// There is no way back any more: returns those that were handed over, of which only the ones that the list has are
    /// kept.
    pub(crate) fn settle(&mut self) -> Listeners {
        self.before = None;
        let before = self.inherited.handed_over.clone();
        let listeners = &self.listeners;
        self.inherited.handed_over.retain(|bound| listeners.iter().any(|kept| Rc::ptr_eq(kept, bound)));
        before
    }

    /// Closes them all.
    pub(crate) fn close(&mut self) {
        self.listeners.clear();
        self.before = None;
        self.inherited = Inherited::default();
    }

    /// Another service that is started on the same sockets may have made them blocking.
    pub(crate) fn unblock(&self) {
        self.inherited.activated.iter().for_each(|bound| bound.socket.unblock());
    }
}

/// The upgrade in place.
impl Sockets {
    /// Every socket that anything of this server refers to, once; `present` are those of living generations.
    pub(crate) fn all(&self, mut present: Listeners) -> Listeners {
        let inherited = self.inherited.activated.iter().chain(&self.inherited.handed_over);
        inherited.for_each(|bound| add(&mut present, bound));
        present
    }

    /// What the next program is told of these sockets.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save(&self, all: &Listeners, number: &mut Number<'_>) -> sys::Result<Vec<state::Listener>> {
        all.iter().map(|bound| self.save_one(bound, number)).collect()
    }

    fn save_one(&self, bound: &Rc<Bound>, number: &mut Number<'_>) -> sys::Result<state::Listener> {
        let among = |list: &Listeners| list.iter().any(|other| Rc::ptr_eq(other, bound));
        let origin = if among(&self.inherited.activated) {
            Origin::Activated
        } else if among(&self.inherited.handed_over) {
            Origin::HandedOver
        } else {
            Origin::Bound
        };
        let asked = bound.asked().map(ToString::to_string);
        let name = bound.activated_as.clone();
        Ok(state::Listener { socket: number(std::os::fd::AsFd::as_fd(&bound.socket))?, asked, origin, name })
    }

    /// Takes the sockets that the program before this one held; `held` are the places in `all` of those that are listened
    /// on. Returns all of them, too.
    ///
    /// # Errors
    /// One of them is missing.
    pub(crate) fn load(all: &[state::Listener], held: &[usize], queue: Queue) -> Result<(Self, Listeners), Error> {
        let (mut sockets, mut loaded) = (Self::of(Inherited::default(), queue), Listeners::new());
        for listener in all {
            let socket = Listener::from_fd(adopt(listener.socket)?)?;
            let asked = listener.asked.as_deref().map(Address::parse).transpose()?;
            let activated = listener.origin == Origin::Activated;
            let name = activated.then(|| listener.name.clone().unwrap_or_else(|| NAMELESS.to_string()));
            let bound = Rc::new(Bound::new(socket, asked, name));
            match listener.origin {
                Origin::Bound => {}
                Origin::Activated => sockets.inherited.activated.push(Rc::clone(&bound)),
                Origin::HandedOver => sockets.inherited.handed_over.push(Rc::clone(&bound)),
            }
            loaded.push(bound);
        }
        sockets.listeners = chosen(held, &loaded)?;
        Ok((sockets, loaded))
    }
}

/// The places that some sockets have among all of them.
pub(crate) fn places(some: &Listeners, all: &Listeners) -> Vec<usize> {
    some.iter().filter_map(|bound| all.iter().position(|other| Rc::ptr_eq(other, bound))).collect()
}

/// The sockets at these places.
///
/// # Errors
/// One is missing.
pub(crate) fn chosen(places: &[usize], all: &Listeners) -> Result<Listeners, Error> {
    let one = |place: &usize| all.get(*place).cloned().ok_or(Error::Missing);
    places.iter().map(one).collect()
}
