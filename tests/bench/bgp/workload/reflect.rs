//! A route reflector: its clients tell each other everything.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Bench, HOLD_TIME, quantile};
use crate::monitor::Monitor;
use crate::table::{Attributes, From, Key, Table, internet};
use crate::wire::{SPEAKER_AS, peer_address};

/// Prefixes of a client that share attributes.
const GROUP: usize = 10;
/// Nodes that restart.
const RESTARTS: usize = 5;
/// How long a node is away.
const AWAY: Duration = Duration::from_millis(200);

pub(super) fn run(bench: &mut Bench<'_>, clients: usize, prefixes: usize) -> Result<()> {
    let all = internet(clients * prefixes, 42);
    let table = |(index, own): (usize, &[Key])| {
        let address = peer_address(index);
        Table::random(own.to_vec(), prefixes.div_ceil(GROUP), From::Internal, address, index as u64 + 9)
    };
    let tables: Vec<Table> = all.chunks(prefixes).enumerate().map(table).collect();
    let mut mesh = Mesh::new(bench, tables, prefixes);
    mesh.converge(bench)?;
    mesh.withdraw(bench)
}

pub(super) fn run_pods(bench: &mut Bench<'_>, nodes: usize, blocks: usize) -> Result<()> {
    let tables = (0..nodes).map(|node| {
        let block = |number| Key::new(0x0a80_0000 + ((node * blocks + number) << 6) as u32, 26);
        Table::uniform((0..blocks).map(block).collect(), &Attributes::of_node(peer_address(node)))
    });
    let mut mesh = Mesh::new(bench, tables.collect(), blocks);
    mesh.converge(bench)?;
    mesh.restarts(bench)?;
    mesh.withdraw(bench)
}

struct Mesh {
    monitor: Monitor,
    announcements: Vec<Rc<Vec<u8>>>,
    withdrawals: Vec<Rc<Vec<u8>>>,
    clients: usize,
    /// Prefixes of each client.
    own: usize,
}

impl Mesh {
    fn new(bench: &mut Bench<'_>, tables: Vec<Table>, own: usize) -> Self {
        let clients = tables.len();
        let (mut prefixes, mut owners, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        let (mut announcements, mut withdrawals) = (Vec::new(), Vec::new());
        for (index, table) in tables.into_iter().enumerate() {
            bench.peers.add(peer_address(index), SPEAKER_AS, HOLD_TIME);
            owners.extend(std::iter::repeat_n(index as u16, table.prefixes.len()));
            prefixes.extend(table.prefixes);
            paths.extend(table.paths);
            announcements.push(Rc::new(table.announcements));
            withdrawals.push(Rc::new(table.withdrawals));
        }
        let monitor = Monitor::new(clients, &prefixes, owners, paths, None);
        Self { monitor, announcements, withdrawals, clients, own }
    }

    /// What every client is to have: what the others announce, without that of `away`.
    fn expect(&mut self, count: usize, away: Option<usize>) {
        for client in 0..self.clients {
            self.monitor.expect(client, (Some(client) != away).then_some(count));
        }
    }

    fn all_others(&self) -> usize {
        (self.clients - 1) * self.own
    }

    fn converge(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        bench.bring_up(&mut self.monitor, self.clients)?;
        self.expect(self.all_others(), None);
        let phase = bench.begin();
        for (index, messages) in self.announcements.iter().enumerate() {
            bench.peers.send(index, Rc::clone(messages))?;
        }
        bench.finish(&mut self.monitor, &phase, ("converged", "converged_cpu"))?;
        bench.figure("updates", self.monitor.updates as f64);
        bench.check(&self.monitor)
    }

    fn withdraw(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        self.expect(0, None);
        let phase = bench.begin();
        for (index, messages) in self.withdrawals.iter().enumerate() {
            bench.peers.send(index, Rc::clone(messages))?;
        }
        bench.finish(&mut self.monitor, &phase, ("withdrawn", "withdrawn_cpu"))?;
        bench.check(&self.monitor)
    }

    /// Nodes go away and come back, one after the other.
    fn restarts(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        let [mut lost, mut told, mut filled, mut session] = [const { Vec::new() }; 4];
        for number in 0..RESTARTS {
            let node = (number * 97 + 13) % self.clients;
            self.expect(self.all_others() - self.own, Some(node));
            bench.peers.list[node].persistent = false;
            let began = Instant::now();
            bench.peers.close(node);
            bench.until(&mut self.monitor, |_, monitor| monitor.satisfied())?;
            lost.extend(self.monitor.reached().map(|at| (at - began).as_secs_f64()));
            self.monitor.forget(node);
            bench.rest(&mut self.monitor, AWAY)?;

            self.expect(self.all_others(), None);
            bench.peers.list[node].persistent = true;
            let began = Instant::now();
            bench.peers.connect(node)?;
            bench.until(&mut self.monitor, |peers, _| peers.list[node].established.is_some())?;
            let sent = Instant::now();
            bench.peers.send(node, Rc::clone(&self.announcements[node]))?;
            bench.until(&mut self.monitor, |_, monitor| monitor.satisfied())?;
            let up = bench.peers.list[node].established.context("the session was lost again")?;
            let others = (0..self.clients).filter(|client| *client != node);
            let last = others.filter_map(|client| self.monitor.reached_by(client)).max().unwrap_or(sent);
            session.push((up - began).as_secs_f64());
            told.push(last.saturating_duration_since(sent).as_secs_f64());
            filled.extend(self.monitor.reached_by(node).map(|at| (at - up).as_secs_f64()));
        }
        bench.figure("node_lost", quantile(&mut lost, 0.5));
        bench.figure("node_session", quantile(&mut session, 0.5));
        bench.figure("node_back", quantile(&mut told, 0.5));
        bench.figure("node_filled", quantile(&mut filled, 0.5));
        // These losses were ours.
        bench.peers.list.iter_mut().for_each(|peer| peer.losses = 0);
        Ok(())
    }
}
