use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Action, Backoff, Event, Jitter, Settings, State, Timers};
use crate::speaker::{ConnId, Direction, DownReason, TimerConfig};
use crate::wire::{
    Capability, CeaseError, FsmError, Message, MessageType, Negotiated, Notification, NotificationCode, Open,
    OpenError,
};

/// The state machine of one connection. See the module.
#[derive(Debug, Clone)]
pub struct Fsm {
    pub(super) state: State,
    pub(super) timers: Timers,
    pub(super) conn: Option<ConnId>,
    pub(super) agreement: Option<Agreement>,
    pub(super) settings: Arc<Settings>,
    pub(super) backoff: Backoff,
    direction: Direction,
    jitter: Jitter,
}

/// What the two OPENs agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The peer's OPEN.
    pub open: Open,
    /// The common ground.
    pub negotiated: Negotiated,
    /// Hold time; zero: off.
    pub hold_time: Duration,
    /// Time between our KEEPALIVEs; zero: none.
    pub keepalive: Duration,
}

impl Agreement {
    /// Of our OPEN and the peer's, both checked.
    pub fn between(ours: &Open, open: Open, timers: &TimerConfig) -> Self {
        let negotiated = Negotiated::between(ours, &open);
        let hold_time = Duration::from_secs(negotiated.hold_time.into());
        let third = hold_time / 3;
        let keepalive = timers.keepalive.map_or(third, |configured| configured.min(third));
        Self { open, negotiated, hold_time, keepalive }
    }
}

impl Fsm {
    /// The machine that opens connections: in Idle, until [`Event::Start`].
    pub fn connecting(settings: Arc<Settings>, jitter: Jitter) -> Self {
        Self::new(settings, jitter, Direction::Outbound)
    }

    /// A machine for an accepted connection: waits in Active for [`Event::ConnectionOpened`].
    pub fn accepting(settings: Arc<Settings>, jitter: Jitter) -> Self {
        Self { state: State::Active, ..Self::new(settings, jitter, Direction::Inbound) }
    }

    /// The machine of a session that another process has brought about: in Established, with the next KEEPALIVE at the given time.
    pub fn resumed(
        settings: Arc<Settings>,
        jitter: Jitter,
        direction: Direction,
        conn: ConnId,
        (agreement, keepalive): (Agreement, Option<Instant>),
        now: Instant,
    ) -> Self {
        let hold = deadline(now, agreement.hold_time);
        let timers = Timers { hold, keepalive, ..Timers::default() };
        let agreement = Some(agreement);
        let conn = Some(conn);
        Self { state: State::Established, timers, conn, agreement, ..Self::new(settings, jitter, direction) }
    }

    fn new(settings: Arc<Settings>, jitter: Jitter, direction: Direction) -> Self {
        Self {
            state: State::Idle,
            timers: Timers::default(),
            conn: None,
            agreement: None,
            settings,
            backoff: Backoff::default(),
            direction,
            jitter,
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Who opens its connection.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Its connection: from the moment when it is open.
    pub fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// What was negotiated: in OpenConfirm and Established.
    pub fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_ref()
    }

    /// The running timers.
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Would the peer's OPEN be taken, as far as the configuration is concerned?
    pub fn would_accept(&self, open: &Open) -> bool {
        open.check(&self.settings.check).is_ok()
    }

    /// Use other settings from the next connection on.
    pub fn configure(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// A session was up elsewhere: forget earlier failures.
    pub fn reset_backoff(&mut self) {
        self.backoff.reset();
    }

    /// Handles the timers that have expired.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(event) = self.timers.expire(now) {
            self.handle(now, event, actions);
        }
    }

    /// An UPDATE came in Established: the hold timer starts again. The short way for what happens most.
    pub fn heard(&mut self, now: Instant) {
        if self.state == State::Established
            && let Some(agreement) = &self.agreement
        {
            self.timers.hold = deadline(now, agreement.hold_time);
        }
    }

    /// Handles an event; appends what is to be done.
    pub fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        if let Event::Stop { notification, reason } = event {
            self.stop(notification, reason, actions);
            return;
        }
        match self.state {
            State::Idle => self.idle(now, &event, actions),
            State::Connect => self.connect(now, event, actions),
            State::Active => self.active(now, event, actions),
            State::OpenSent => self.open_sent(now, event, actions),
            State::OpenConfirm => self.open_confirm(now, event, actions),
            State::Established => self.established(now, event, actions),
        }
    }

    /// Start again in this time, unless something else is going on.
    pub fn retry_after(&mut self, now: Instant, wait: Duration) {
        if self.direction == Direction::Outbound && self.state == State::Idle {
            self.timers.idle_hold = Some(now + self.jitter.shorten(wait));
        }
    }

    /// Start again after a time that fits what happened, on this machine or on one for an accepted connection.
    pub fn retry(&mut self, now: Instant, reason: &DownReason) {
        let wait = if is_refusal(reason) { self.backoff.refused() } else { self.backoff.unreachable() };
        self.retry_after(now, wait);
    }

    pub(super) fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.settings.passive {
            self.state = State::Active;
            return;
        }
        self.state = State::Connect;
        self.timers.connect_retry = Some(now + self.jitter.shorten(self.settings.timers.connect_retry));
        actions.push(Action::Connect);
    }

    pub(super) fn opened(&mut self, now: Instant, conn: ConnId, actions: &mut Vec<Action>) {
        self.conn = Some(conn);
        self.timers.connect_retry = None;
        match self.settings.timers.delay_open {
            Some(delay) => self.timers.delay_open = Some(now + delay),
            None => self.send_open(now, actions),
        }
    }

    pub(super) fn send_open(&mut self, now: Instant, actions: &mut Vec<Action>) {
        actions.push(Action::Send(self.settings.open.encode()));
        self.state = State::OpenSent;
        self.timers.delay_open = None;
        self.timers.hold = Some(now + Settings::OPEN_SENT_HOLD);
    }

    /// Takes the peer's OPEN, or refuses it.
    pub(super) fn accept_open(&mut self, now: Instant, open: Open, actions: &mut Vec<Action>) {
        if let Err(notification) = open.check(&self.settings.check) {
            let reason = self.refusal(&open, &notification);
            self.fail(now, Some(notification), reason, actions);
            return;
        }
        let negotiated = Negotiated::between(&self.settings.open, &open);
        if negotiated.families.is_empty() {
            let multiprotocol = |capability: &&Capability| matches!(capability, Capability::Multiprotocol(_));
            let required: Vec<_> =
                self.settings.open.capabilities.iter().filter(multiprotocol).cloned().collect();
            let notification = Notification::unsupported_capability(&required);
            self.fail(now, Some(notification), DownReason::NoCommonFamily, actions);
            return;
        }
        let agreement = Agreement::between(&self.settings.open, open, &self.settings.timers);
        let hold_time = agreement.hold_time;
        self.agreement = Some(agreement);
        self.state = State::OpenConfirm;
        self.timers.hold = deadline(now, hold_time);
        self.send_keepalive(now, actions);
    }

    pub(super) fn send_keepalive(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let keepalive = self.agreement.as_ref().map_or(Duration::ZERO, |agreement| agreement.keepalive);
        self.timers.keepalive = deadline(now, self.jitter.shorten(keepalive));
        actions.push(Action::Send(Message::keepalive()));
    }

    pub(super) fn go_up(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.state = State::Established;
        self.heard(now);
        actions.push(Action::Up);
    }

    /// Ends the connection for a fault, and prepares the next attempt.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        notification: Option<Notification>,
        reason: DownReason,
        actions: &mut Vec<Action>,
    ) {
        if self.state == State::Established {
            self.backoff.reset();
        }
        actions.push(Action::Close(notification));
        self.clear();
        self.retry(now, &reason);
        actions.push(Action::Down(reason));
    }

    /// Answers a message that does not belong into this state (RFC 6608).
    pub(super) fn unexpected(
        &mut self,
        now: Instant,
        error: FsmError,
        kind: MessageType,
        actions: &mut Vec<Action>,
    ) {
        let notification = Notification::new(NotificationCode::Fsm(error), &[kind as u8]);
        self.fail(now, Some(notification.clone()), DownReason::NotificationSent(notification), actions);
    }

    fn stop(&mut self, notification: Option<Notification>, reason: DownReason, actions: &mut Vec<Action>) {
        let talking = self.state >= State::OpenSent;
        let open = self.conn.is_some() || self.state == State::Connect;
        if open {
            actions.push(Action::Close(notification.filter(|_| talking)));
        }
        self.clear();
        if open {
            actions.push(Action::Down(reason));
        }
    }

    fn clear(&mut self) {
        self.state = State::Idle;
        self.timers = Timers::default();
        self.conn = None;
        self.agreement = None;
    }

    fn refusal(&self, open: &Open, notification: &Notification) -> DownReason {
        match notification.code {
            NotificationCode::Open(OpenError::BadPeerAs) => {
                DownReason::BadPeerAs { expected: self.settings.check.peer_as.clone(), received: open.asn }
            }
            NotificationCode::Open(OpenError::BadBgpIdentifier) => {
                DownReason::DuplicateRouterId(open.router_id)
            }
            _ => DownReason::NotificationSent(notification.clone()),
        }
    }
}

/// Did one side turn the other down, rather than being absent?
fn is_refusal(reason: &DownReason) -> bool {
    match reason {
        DownReason::ConnectFailed(_)
        | DownReason::ConnectTimedOut
        | DownReason::ConnectionLost(_)
        | DownReason::Reset(_)
        | DownReason::ConfigurationChanged
        | DownReason::Collision
        | DownReason::Replaced
        | DownReason::SendHoldTimerExpired
        | DownReason::BfdDown(_) => false,
        // The peer restarts or resolves a collision: it will be there again in no time.
        DownReason::NotificationReceived(notification) => !is_passing(notification.code),
        DownReason::NotificationSent(notification) => !is_passing(notification.code),
        DownReason::BadPeerAs { .. }
        | DownReason::DuplicateRouterId(_)
        | DownReason::NoCommonFamily
        | DownReason::PrefixLimit { .. }
        | DownReason::PathLimit { .. }
        | DownReason::Stopped(_)
        | DownReason::Deconfigured
        | DownReason::Shutdown => true,
    }
}

/// Reasons of the peer after which it wants a session again at once.
fn is_passing(code: NotificationCode) -> bool {
    matches!(
        code,
        NotificationCode::Cease(
            CeaseError::ConnectionCollisionResolution
                | CeaseError::AdministrativeReset
                | CeaseError::OtherConfigurationChange
                | CeaseError::ConnectionRejected
                | CeaseError::AdministrativeShutdown
                | CeaseError::Unspecific
                | CeaseError::HardReset
                | CeaseError::BfdDown
        ) | NotificationCode::HoldTimerExpired(_)
    )
}

/// A time from now; `None` if it is zero, which turns the timer off.
pub(super) fn deadline(now: Instant, time: Duration) -> Option<Instant> {
    (!time.is_zero()).then(|| now + time)
}
