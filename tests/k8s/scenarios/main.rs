//! What holds in a real cluster whose only pod network is Cairn, installed from `deploy` as a user does.
//!
//! A program of its own and not `#[test]`s: a cluster takes half a minute to come up, so all scenarios of a choice of address families share one,
//! which ends with the last of them. Each leaves the cluster as it found it.

mod controller;
mod kubectl;
mod node;
mod outage;
mod pod_cidr;
mod pods;
mod restart;
mod routers;
mod runner;
mod services;
mod traffic;
mod world;

use std::process::ExitCode;

use cairn_lab::lab::Families;
use runner::{Scenario, scenarios};

/// All of them, in this order: what changes the cluster comes last.
fn all() -> Vec<Scenario> {
    let both = scenarios![
        node::is_ready_with_cairn_and_not_before,
        pods::all_reach_all_and_are_seen_by_their_own_address,
        services::addresses_and_names_lead_to_pods,
        routers::tors_have_the_blocks_of_all_nodes,
        pod_cidr::pods_have_addresses_of_their_nodes_range,
        restart::killed_daemons_cost_established_flows_nothing,
        pods::have_another_mtu_after_their_daemon_began_again,
    ];
    let once = scenarios![
        node::has_the_plugin_beside_others_and_no_secret,
        controller::runs_twice_and_one_acts,
        kubectl::exec_logs_and_port_forward_work,
        restart::a_rolling_update_costs_established_flows_nothing,
        outage::pods_start_and_end_while_the_api_server_is_away,
    ];
    let of = |families: Families, bodies: &[runner::Named]| -> Vec<Scenario> {
        bodies.iter().map(|body| Scenario::new(families, *body)).collect()
    };
    let mut all = of(Families::Ipv4, &both);
    all.extend(of(Families::Ipv4, &once));
    all.extend(of(Families::Dual, &both));
    all
}

fn main() -> ExitCode {
    runner::run(&all())
}
