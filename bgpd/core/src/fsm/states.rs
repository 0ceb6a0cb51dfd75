//! One handler per state (RFC 4271 section 8.2.2). [`Event::Stop`] is the same in all of them and never gets here.

use std::time::Instant;

use super::machine::Fsm;
use super::{Action, Event, State};
use crate::speaker::DownReason;
use crate::wire::{FsmError, MessageType, Notification, NotificationCode};

impl Fsm {
    pub(super) fn idle(&mut self, now: Instant, event: &Event, actions: &mut Vec<Action>) {
        match event {
            Event::Start | Event::IdleHoldTimerExpired => {
                self.timers.idle_hold = None;
                self.begin(now, actions);
            }
            // The rest of a connection that is gone, or timers that do not run here.
            Event::Stop { .. }
            | Event::ConnectRetryTimerExpired
            | Event::HoldTimerExpired
            | Event::KeepaliveTimerExpired
            | Event::DelayOpenTimerExpired
            | Event::ConnectionOpened(_)
            | Event::ConnectFailed(_)
            | Event::ConnectionClosed(_)
            | Event::OpenReceived(_)
            | Event::KeepaliveReceived
            | Event::RoutesReceived(_)
            | Event::NotificationReceived(_)
            | Event::MessageFault(_) => {}
        }
    }

    pub(super) fn connect(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::ConnectRetryTimerExpired => self.fail(now, None, DownReason::ConnectTimedOut, actions),
            Event::ConnectFailed(reason) => self.fail(now, None, DownReason::ConnectFailed(reason), actions),
            other => self.waiting(now, other, actions),
        }
    }

    pub(super) fn active(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::ConnectRetryTimerExpired => self.begin(now, actions),
            other => self.waiting(now, other, actions),
        }
    }

    /// What Connect and Active have in common: no OPEN sent yet, perhaps a connection on which it is delayed.
    fn waiting(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::ConnectionOpened(conn) => self.opened(now, conn, actions),
            Event::DelayOpenTimerExpired => self.send_open(now, actions),
            Event::OpenReceived(open) if self.conn.is_some() => {
                self.send_open(now, actions);
                self.accept_open(now, *open, actions);
            }
            Event::ConnectFailed(reason) | Event::ConnectionClosed(reason) => {
                self.fail(now, None, DownReason::ConnectionLost(reason), actions);
            }
            Event::NotificationReceived(notification) => {
                self.fail(now, None, DownReason::NotificationReceived(notification), actions);
            }
            Event::MessageFault(notification) => self.fault(now, notification, actions),
            Event::KeepaliveReceived => {
                self.unexpected(now, FsmError::Unspecific, MessageType::Keepalive, actions);
            }
            Event::RoutesReceived(kind) => self.unexpected(now, FsmError::Unspecific, kind, actions),
            Event::Start
            | Event::Stop { .. }
            | Event::IdleHoldTimerExpired
            | Event::ConnectRetryTimerExpired
            | Event::HoldTimerExpired
            | Event::KeepaliveTimerExpired
            | Event::OpenReceived(_) => {}
        }
    }

    pub(super) fn open_sent(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::OpenReceived(open) => self.accept_open(now, *open, actions),
            Event::KeepaliveReceived => {
                self.unexpected(now, FsmError::UnexpectedInOpenSent, MessageType::Keepalive, actions);
            }
            Event::RoutesReceived(kind) => {
                self.unexpected(now, FsmError::UnexpectedInOpenSent, kind, actions);
            }
            other => self.connected(now, other, actions),
        }
    }

    pub(super) fn open_confirm(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::KeepaliveReceived => self.go_up(now, actions),
            Event::KeepaliveTimerExpired => self.send_keepalive(now, actions),
            Event::OpenReceived(_) => {
                self.unexpected(now, FsmError::UnexpectedInOpenConfirm, MessageType::Open, actions);
            }
            Event::RoutesReceived(kind) => {
                self.unexpected(now, FsmError::UnexpectedInOpenConfirm, kind, actions);
            }
            other => self.connected(now, other, actions),
        }
    }

    pub(super) fn established(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::KeepaliveReceived | Event::RoutesReceived(_) => self.heard(now),
            Event::KeepaliveTimerExpired => self.send_keepalive(now, actions),
            Event::OpenReceived(_) => {
                self.unexpected(now, FsmError::UnexpectedInEstablished, MessageType::Open, actions);
            }
            other => self.connected(now, other, actions),
        }
    }

    /// What ends a connection in the same way from OpenSent to Established.
    fn connected(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        debug_assert!(self.state >= State::OpenSent, "only for states with a connection");
        match event {
            Event::HoldTimerExpired => {
                let notification = Notification::new(NotificationCode::HoldTimerExpired(0), &[]);
                self.fault(now, notification, actions);
            }
            Event::ConnectFailed(reason) | Event::ConnectionClosed(reason) => {
                self.fail(now, None, DownReason::ConnectionLost(reason), actions);
            }
            Event::NotificationReceived(notification) => {
                self.fail(now, None, DownReason::NotificationReceived(notification), actions);
            }
            Event::MessageFault(notification) => self.fault(now, notification, actions),
            // Handled by the state, or timers that do not run with a connection.
            Event::Start
            | Event::Stop { .. }
            | Event::IdleHoldTimerExpired
            | Event::ConnectRetryTimerExpired
            | Event::KeepaliveTimerExpired
            | Event::DelayOpenTimerExpired
            | Event::ConnectionOpened(_)
            | Event::OpenReceived(_)
            | Event::KeepaliveReceived
            | Event::RoutesReceived(_) => {}
        }
    }

    fn fault(&mut self, now: Instant, notification: Notification, actions: &mut Vec<Action>) {
        self.fail(now, Some(notification.clone()), DownReason::NotificationSent(notification), actions);
    }
}
