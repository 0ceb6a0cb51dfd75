//! What holds in a real cluster whose only pod network is Cairn, installed from `deploy` as a user does.
//!
//! A program of its own and not `#[test]`s: a cluster takes half a minute to come up, so all scenarios of a choice of address families share one,
//! which ends with the last of them. Each leaves the cluster as it found it, but for `command`, which ends it.

mod capabilities;
mod command;
mod controller;
mod crowd;
mod drain;
mod kubectl;
mod membership;
mod node;
mod option;
mod outage;
mod pod_cidr;
mod pods;
mod pool;
mod restart;
mod routers;
mod runner;
mod secret;
mod sense;
mod services;
mod told;
mod traffic;
mod uninstall;
mod world;

use std::process::ExitCode;

use cairn_lab::lab::Families;
use runner::{Scenario, scenarios};

/// All of them, in this order: what changes the cluster comes late, and what ends it last.
fn all() -> Vec<Scenario> {
    let both = scenarios![
        node::is_ready_with_cairn_and_not_before,
        pods::all_reach_all_and_are_seen_by_their_own_address,
        services::addresses_and_names_lead_to_pods,
        capabilities::a_host_port_leads_to_its_pod,
        routers::tors_have_the_blocks_of_all_nodes,
        drain::a_cordoned_or_tainted_node_is_told_as_leaving_and_loses_nothing,
        pod_cidr::pods_have_addresses_of_their_nodes_range,
        restart::killed_daemons_cost_established_flows_nothing,
        pods::have_another_mtu_after_their_daemon_began_again,
    ];
    let once = scenarios![
        node::has_the_plugin_beside_others_and_no_secret,
        node::has_one_connection_to_the_api_server,
        capabilities::annotations_limit_the_traffic_of_a_pod,
        controller::runs_twice_and_one_acts,
        routers::peers_tell_how_many_of_their_sessions_are_established,
        sense::what_makes_no_sense_is_told_and_costs_flows_nothing,
        kubectl::exec_logs_and_port_forward_work,
        pool::pods_move_to_another_range_as_they_are_made_again,
        secret::a_changed_password_is_followed_and_a_missing_one_is_told,
        restart::killed_parts_of_kubernetes_cost_established_flows_nothing,
        membership::a_node_joins_goes_and_comes_again_and_others_lose_nothing,
        uninstall::nothing_is_left_on_nodes_and_another_installation_works,
        command::up_status_and_down_do_what_they_say,
    ];
    let with_both_families = scenarios![
        crowd::sixty_pods_reach_each_other_and_names_are_answered_everywhere,
        restart::rolling_updates_cost_established_flows_nothing,
        outage::pods_start_and_end_while_the_api_server_is_away,
    ];
    let of = |families: Families, bodies: &[runner::Named]| -> Vec<Scenario> {
        bodies.iter().map(|body| Scenario::new(families, *body)).collect()
    };
    let mut all = of(Families::Ipv4, &both);
    all.extend(of(Families::Ipv4, &once));
    all.extend(of(Families::Dual, &both));
    all.extend(of(Families::Dual, &with_both_families));
    all
}

fn main() -> ExitCode {
    runner::run(&all())
}
