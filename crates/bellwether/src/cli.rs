//! The command line: what may be typed.

use std::net::IpAddr;
use std::path::PathBuf;

use bellwether_model::job::Control;
use bellwether_model::{Cause, DnsName, ResolverAddress, Target};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use jiff::Timestamp;

/// Explains why an Internet service cannot be reached: the lowest broken layer, the cause, the
/// evidence, who is affected and what to do; once, or for as long as it runs.
#[derive(Debug, Parser)]
#[command(
    name = "bellwether",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(
    after_help = "Begin with:\n  bellwether check https://www.example.com/    what is broken there, and what to do\n  \
    bellwether drill mashery-2024                see it at work; nothing leaves this machine\n  \
    bellwether serve -c bellwether.yaml          watch it for as long as this runs\n\n\
    Exit codes: 0 healthy or as expected, 1 not, 2 usage or configuration \
    error, 3 our own vantage is at fault."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(Box<CheckArgs>),
    Diagnose(DiagnoseArgs),
    Serve(ServeArgs),
    Status(StatusArgs),
    Incidents(IncidentsArgs),
    Heartbeats(HeartbeatsArgs),
    /// Measure for a hub elsewhere: become one of its vantages, and be one.
    #[command(
        subcommand,
        after_help = "Examples:\n  bellwether agents token fra    at the hub; prints the next line as it is to be typed\n  \
        bellwether agent enrol --hub https://hub.example --token bwe_…\n  \
        bellwether agent run           for as long as it is to measure"
    )]
    Agent(AgentCommand),
    Agents(AgentsArgs),
    /// Copy or verify the data directory of `serve`.
    #[command(
        subcommand,
        after_help = "Examples:\n  bellwether store backup /backup/bellwether-2026-11-21\n  \
        bellwether store check --data-dir /var/lib/bellwether"
    )]
    Store(StoreCommand),
    Drill(DrillArgs),
    Explain(ExplainArgs),
    /// Validate configuration, explain its keys, or print a JSON Schema for editors; nobody is asked.
    #[command(
        subcommand,
        after_help = "Examples:\n  bellwether config check bellwether.yaml\n  \
        bellwether config explain defaults.every\n  \
        bellwether config schema > bellwether.schema.json"
    )]
    Config(ConfigCommand),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
    /// Probe as a child process: a job on stdin, events on stdout.
    #[command(hide = true)]
    Worker {
        /// Take orders until stdin ends, many at a time, instead of one job.
        #[arg(long)]
        many: bool,
    },
    /// Serve the Internet in a box as a child process of `drill`.
    #[command(hide = true)]
    DrillWorld {
        /// What the parent process wants.
        job: PathBuf,
    },
}

/// Asks name servers from the DNS root down to TARGET's own, this system's resolver and, for
/// public names, 8.8.8.8, 1.1.1.1 and 9.9.9.9; connects to every address found; and asks for
/// a.root-servers.net and those three resolvers as controls of ourselves.
///
/// Walks from the delegation up to the HTTP answer and says what is broken at the lowest layer.
/// Given `--resolver`, no other resolver is asked; `--control none` asks no controls.
#[derive(Args, Debug)]
#[command(
    about = "Check a service once, and explain what is broken",
    after_help = "Exit codes: 0 healthy, 1 degraded or broken (with --strict also warnings), \
        2 usage or configuration error, 3 our own vantage is at fault.",
    after_long_help = "Examples:\n  bellwether check https://www.example.com/\n  \
        bellwether check example.com:22 --resolver 9.9.9.9 --resolver system\n  \
        bellwether check https://www.example.com/ --save good.json\n  \
        bellwether check https://www.example.com/ --baseline good.json --format json\n\n\
        Exit codes: 0 healthy, 1 degraded or broken (with --strict also warnings), \
        2 usage or configuration error, 3 our own vantage is at fault."
)]
pub(crate) struct CheckArgs {
    /// host, host:port, https://…, http://…, tls://host:port, tcp://host:port, dns://name?type=TYPE
    pub(crate) target: Target,

    /// Ask this resolver: an address, ADDRESS:PORT, `tls://ADDRESS#NAME`,
    /// `https://NAME/dns-query@ADDRESS`, or `system`; may be repeated
    #[arg(long = "resolver", value_name = "ADDR", help_heading = "Whom to ask")]
    pub(crate) resolvers: Vec<ResolverArg>,
    /// What must work if we are well: a name, an address, or `none`; may be repeated
    #[arg(
        long = "control",
        value_name = "NAME|ADDR",
        help_heading = "Whom to ask"
    )]
    pub(crate) controls: Vec<ControlArg>,
    /// Begin at these root servers, a hints file as InterNIC publishes it; else
    /// $BELLWETHER_ROOT_HINTS
    #[arg(long, value_name = "FILE", help_heading = "Whom to ask")]
    pub(crate) root_hints: Option<PathBuf>,
    /// Connect to this address instead of those found
    #[arg(long, value_name = "ADDR", value_parser = address, help_heading = "Whom to ask")]
    pub(crate) connect: Option<IpAddr>,
    /// Ask from this address of ours; once for each family
    #[arg(long = "from", value_name = "SOURCE_IP", value_parser = address, help_heading = "Whom to ask")]
    pub(crate) sources: Vec<IpAddr>,
    /// Only IPv4
    #[arg(short = '4', conflicts_with = "v6", help_heading = "Whom to ask")]
    pub(crate) v4: bool,
    /// Only IPv6
    #[arg(short = '6', help_heading = "Whom to ask")]
    pub(crate) v6: bool,
    /// Let answers and redirects lead to this network, besides public addresses
    #[arg(
        long = "allow-network",
        value_name = "CIDR",
        value_parser = network,
        help_heading = "Whom to ask"
    )]
    pub(crate) allow_networks: Vec<IpNet>,
    /// End the whole check after this time, with what is known by then
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = deadline, allow_negative_numbers = true, help_heading = "Whom to ask")]
    pub(crate) deadline: f64,

    /// What was last known good: a report saved by --save
    #[arg(long, value_name = "FILE", help_heading = "What to expect")]
    pub(crate) baseline: Option<PathBuf>,
    /// What a healthy answer is like: one entry of `services:`
    #[arg(long, value_name = "FILE", help_heading = "What to expect")]
    pub(crate) expect: Option<PathBuf>,
    /// Trust these certificate authorities too, PEM
    #[arg(long = "ca", value_name = "FILE", help_heading = "What to expect")]
    pub(crate) ca: Vec<PathBuf>,
    /// Trust anchor of the root, DS or DNSKEY records in zone-file form, or `none`; else
    /// $BELLWETHER_TRUST_ANCHOR
    #[arg(long, value_name = "FILE|none", help_heading = "What to expect")]
    pub(crate) trust_anchor: Option<PathBuf>,
    /// Judge the validity of certificates as of this time, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "What to expect")]
    pub(crate) at: Option<Timestamp>,
    /// Owners of addresses: CSV with the header `prefix,asn,owner`, or MMDB
    #[arg(long, value_name = "FILE", help_heading = "What to expect")]
    pub(crate) asn_table: Option<PathBuf>,
    /// Exit with 1 for warnings too
    #[arg(long, help_heading = "What to expect")]
    pub(crate) strict: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) save: Option<PathBuf>,
}

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = "Output")]
    pub(crate) format: Format,
    /// Print the verdict line alone
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object, `bellwether.check/1`.
    Json,
    /// One JSON object a line: observations as they end, then the report.
    Ndjson,
}

/// Judge a saved report again; nothing is asked of the network.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  bellwether diagnose report.json\n  \
    bellwether diagnose report.json --baseline good.json\n\n\
    Exit codes: as of `check`.")]
pub(crate) struct DiagnoseArgs {
    /// A report saved by `check --save`, or `-` for stdin
    pub(crate) report: PathBuf,
    /// What was last known good, instead of the report's own
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Exit with 1 for warnings too
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Watch services for as long as it runs: each check at its interval, a trace where something
/// fails, incidents with their timeline; page and API at `--listen`.
///
/// Asks what `check` asks, over and over. Reads FILE again when it changes and on SIGHUP; a file
/// with a mistake leaves the old one in force. Ends on SIGTERM and Ctrl-C, within ten seconds.
#[derive(Args, Debug)]
#[command(
    about = "Watch services, and tell what is broken and since when",
    after_help = "Examples:\n  bellwether serve -c bellwether.yaml\n  \
        bellwether serve -c /etc/bellwether/ --data-dir /var/lib/bellwether\n\n\
        Exit codes: 0 ended as asked, 1 it could not go on, 2 usage or configuration error."
)]
pub(crate) struct ServeArgs {
    /// The configuration: a file, or a directory of files; by default `bellwether.yaml` here or
    /// in /etc/bellwether, if there is one
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: `hub.data_dir`, /var/lib/bellwether if it can be
    /// written to, else ~/.local/state/bellwether]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where page and API are [default: `hub.listen`, 127.0.0.1:8400]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// How many worker processes run the probes [default: what suits the number of checks and the
    /// machine, at least 2]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<std::num::NonZeroUsize>,
    /// How the log on stderr is written; $BELLWETHER_LOG takes directives like `warn,hub=debug`
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which hub to ask.
#[derive(Args, Clone, Debug)]
pub(crate) struct HubArgs {
    /// The hub
    #[arg(
        long,
        value_name = "URL",
        env = "BELLWETHER_HUB",
        default_value = "http://127.0.0.1:8400",
        global = true,
        help_heading = "Hub"
    )]
    pub(crate) hub: String,
    /// A file with the token [default: $BELLWETHER_TOKEN]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Hub")]
    pub(crate) token_file: Option<PathBuf>,
}

/// How the answer of a hub is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RemoteFormat {
    /// For people.
    Text,
    /// JSON, as the hub's API has it.
    Json,
}

/// Print what is true now: services, open incidents, late jobs; from a running hub.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 all healthy, 1 some degraded or broken, 2 usage error or no \
    hub, 3 some unknown or the hub itself in trouble, and none broken."
)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) hub: HubArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t = RemoteFormat::Text)]
    pub(crate) format: RemoteFormat,
}

/// Read incidents of a running hub, take one on, or write a note to it.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  bellwether incidents\n  bellwether incidents show 3\n  \
    bellwether incidents ack 3\n  bellwether incidents note 3 'registrar called, ticket 4711'\n\n\
    Exit codes: 0 done, 2 usage error or no hub."
)]
pub(crate) struct IncidentsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<IncidentsCommand>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t = RemoteFormat::Text, global = true)]
    pub(crate) format: RemoteFormat,
}

/// Print who must report, how each stands and where it reports; from a running hub.
#[derive(Args, Debug)]
#[command(
    after_help = "Where a job reports is told to a token with the scope `write`: whoever knows it may \
    report in the name of that job.\n\n\
    Exit codes: 0 all healthy, 1 some late or failed, 2 usage error or no hub, 3 some unknown, and none \
    broken."
)]
pub(crate) struct HeartbeatsArgs {
    #[command(flatten)]
    pub(crate) hub: HubArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t = RemoteFormat::Text)]
    pub(crate) format: RemoteFormat,
}

/// What to do with incidents.
#[derive(Debug, Subcommand)]
pub(crate) enum IncidentsCommand {
    /// List those that are not resolved.
    List {
        /// The resolved ones too
        #[arg(long)]
        all: bool,
    },
    /// Show one with its timeline.
    Show {
        /// Its number
        id: u64,
    },
    /// Take one on.
    Ack {
        /// Its number
        id: u64,
    },
    /// Write a note to one.
    Note {
        /// Its number
        id: u64,
        /// The note
        text: String,
    },
}

/// What an agent does.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    Enrol(EnrolArgs),
    Run(AgentRunArgs),
}

/// Makes a key here, and asks the hub to certify it for the vantage that the token was made for. The hub
/// is known by the token: whoever else answers is not believed.
#[derive(Args, Debug)]
#[command(
    about = "Become a vantage of a hub, by a token that it made",
    after_help = "At the hub, `bellwether agents token VANTAGE` makes the token, good once and for 15 \
    minutes.\n\nExit codes: 0 done, 2 not, with the reason."
)]
pub(crate) struct EnrolArgs {
    /// Where the hub takes agents: `https://HOST` or `https://HOST:PORT`; port 8401 if left out
    #[arg(long, value_name = "URL")]
    pub(crate) hub: String,
    /// The token
    #[arg(
        long,
        value_name = "TOKEN",
        env = "BELLWETHER_ENROL_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: String,
    /// Where key and certificate are kept [default: /var/lib/bellwether-agent if it can be written
    /// to, else ~/.local/state/bellwether-agent]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Runs the checks that the hub plans for this vantage, and delivers what they saw. Dials the hub, and
/// listens nowhere. Without the hub it measures on by its last plan; results wait on disk.
///
/// Ends on SIGTERM and Ctrl-C, within ten seconds; what was not delivered by then is kept.
#[derive(Args, Debug)]
#[command(
    about = "Measure for the hub, for as long as it runs",
    after_help = "Exit codes: 0 ended as asked, 1 it could not go on, 2 usage error or not enrolled."
)]
pub(crate) struct AgentRunArgs {
    /// Where key, certificate, plan and results are kept [default: where `enrol` put them]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How many worker processes run the probes [default: what suits the number of checks and the
    /// machine, at least 2]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<std::num::NonZeroUsize>,
    /// Most room on disk for results that the hub has not taken; 256 MiB hold a week of 1,500 checks a
    /// minute
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = spool_size)]
    pub(crate) spool_size: u64,
    /// Owners of addresses: CSV with the header `prefix,asn,owner`, or MMDB
    #[arg(long, value_name = "FILE")]
    pub(crate) asn_table: Option<PathBuf>,
    /// Measure from this address of ours; once for each family
    #[arg(long = "from", value_name = "SOURCE_IP", value_parser = address)]
    pub(crate) sources: Vec<IpAddr>,
    /// How the log on stderr is written; $BELLWETHER_LOG takes directives like `warn,agent=debug`
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

/// List the agents of a running hub, make a token for a new one, or revoke one.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  bellwether agents\n  bellwether agents token fra       prints the line to type on the other machine\n  \
    bellwether agents revoke fra\n\n\
    Exit codes: 0 done, and every agent is linked; 1 some are not; 2 usage error or no hub."
)]
pub(crate) struct AgentsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AgentsCommand>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t = RemoteFormat::Text, global = true)]
    pub(crate) format: RemoteFormat,
}

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List them: state, version, when heard, clock, spool, checks.
    List,
    /// Make a token by which another machine becomes the agent of a vantage, once, within 15 minutes.
    Token {
        /// The vantage, by its name in `vantages:`
        vantage: String,
    },
    /// Revoke the agent of a vantage: its link ends at once.
    Revoke {
        /// The vantage
        vantage: String,
    },
}

/// The data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Copy it, also while `serve` runs: the copy is as of one moment. Secrets are not copied: the key by
    /// which agents know the hub (`link/`), without which every agent is enrolled anew, and that of which
    /// URLs of heartbeats are made (`heartbeats.key`), without which they are others.
    Backup {
        /// A directory that does not exist yet
        to: PathBuf,
        /// What to copy
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Verify every checksum in it: exit 0, or 1 with what is damaged.
    Check {
        /// What to verify
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

/// Rehearse an outage in an Internet in a box; nothing leaves this machine.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  bellwether drill mashery-2024              the incident that gave rise to this program\n  \
    bellwether drill --list\n  bellwether drill my-outage.yaml --seed 7\n  \
    bellwether drill mashery-2024 --exec 'dig @192.5.6.30 mashery.com NS +norec'\n\n\
    Exit codes: 0 all as expected, 1 not, 2 usage."
)]
pub(crate) struct DrillArgs {
    /// Shipped scenarios by name, or scenario files; all shipped ones if none is named
    #[arg(value_name = "NAME|FILE")]
    pub(crate) scenarios: Vec<String>,
    /// List the shipped scenarios
    #[arg(long, exclusive = true)]
    pub(crate) list: bool,
    /// Rename hosts and addresses by this seed
    #[arg(long, conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Run each scenario with this many seeds, 1 to N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: Option<u64>,
    /// Build the world and run this command in it, with $BELLWETHER_WORLD, a folder of what the
    /// world is to be trusted by; programs find it by their usual variables
    #[arg(long, value_name = "CMD", conflicts_with_all = ["seeds", "format"])]
    pub(crate) exec: Option<String>,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = DrillFormat::Text)]
    pub(crate) format: DrillFormat,
}

/// How a drill is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DrillFormat {
    /// For people.
    Text,
    /// One JSON object, `bellwether.drill/1`.
    Json,
}

/// Explain a cause code: what it means, how we know, what to do; nobody is asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  bellwether explain dns.delegation.wrong_ns\n  \
    bellwether explain wrong_ns    names the codes that may be meant\n  \
    bellwether explain --list"
)]
#[group(required = true, multiple = false)]
pub(crate) struct ExplainArgs {
    /// A cause code, for example `dns.delegation.wrong_ns`
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// List all cause codes, and which of them this version can find
    #[arg(long)]
    pub(crate) list: bool,
    /// List all kinds of fact
    #[arg(long)]
    pub(crate) facts: bool,
}

/// Configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validate a file, or the files `*.yaml` of a directory together: exit 0, or 2 with each place
    /// and cure.
    Check {
        /// The file or directory; `-` is stdin.
        path: PathBuf,
    },
    /// Explain a key: the value in force, where it comes from, what it means, what is allowed.
    #[command(after_help = "Names stand for entries of lists. Examples:\n  \
        bellwether config explain defaults.every\n  \
        bellwether config explain services.shop.checks.main.every --config bellwether.yaml")]
    Explain {
        /// The key: `hub.listen`, `services.shop.url`
        key: String,
        /// The file or directory it is looked up in; without it, the defaults
        #[arg(short, long, value_name = "PATH")]
        config: Option<PathBuf>,
    },
    /// Print a JSON Schema: of the configuration, or of a report or scenario.
    Schema {
        /// Of the report of `check --format json`
        #[arg(long, conflicts_with = "scenario")]
        report: bool,
        /// Of a scenario file
        #[arg(long)]
        scenario: bool,
    },
}

/// `--resolver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResolverArg {
    /// Those of the system.
    System,
    /// One by address.
    Address(ResolverAddress),
}

impl std::str::FromStr for ResolverArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "system" => Ok(Self::System),
            _ => text.parse().map(Self::Address),
        }
    }
}

/// `--control`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlArg {
    /// Ask none.
    None,
    /// One.
    One(Control),
}

impl std::str::FromStr for ControlArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::One(Control::Address(address)));
        }
        DnsName::typed(text)
            .map(|name| Self::One(Control::Name(name)))
            .map_err(|error| format!("{error}; give a name, an address, or `none`"))
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    let inside = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = inside.unwrap_or(text).parse();
    address.map_err(|_| "give an address alone: `192.0.2.1` or `2001:db8::1`".to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network = text.parse();
    network.map_err(|_| "give a network like `10.0.0.0/8` or `fd00::/8`, or one address".to_owned())
}

/// Longest deadline, seconds: a check is a look at now, not a watch.
const DEADLINE_MAX: f64 = 600.0;

fn deadline(text: &str) -> Result<f64, String> {
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(seconds) if (0.1..=DEADLINE_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!(
            "give seconds from 0.1 to {DEADLINE_MAX}, for example `30`"
        )),
    }
}

fn spool_size(text: &str) -> Result<u64, String> {
    const MIB: u64 = 1 << 20;
    let units = [("KiB", 1 << 10), ("MiB", MIB), ("GiB", 1 << 30), ("", 1)];
    let unit = units
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let bytes =
        unit.and_then(|(number, bytes)| number.trim().parse::<u64>().ok()?.checked_mul(*bytes));
    match bytes {
        Some(bytes) if bytes >= bellwether_agent::spool::LIMIT_MIN => Ok(bytes),
        Some(_) => Err(format!(
            "give at least {}MiB",
            bellwether_agent::spool::LIMIT_MIN / MIB
        )),
        None => Err("give a size like `256MiB` or `2GiB`".to_owned()),
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is no time; write RFC 3339 with the zone: `2024-10-01T11:10:00Z`")
    })
}

/// The cause of a code, or the message that names the nearest ones.
pub(crate) fn cause(code: &str) -> Result<Cause, String> {
    let lower = code.trim().to_ascii_lowercase();
    lower.parse().map_err(|_| {
        let near = near(&lower);
        if near.is_empty() {
            return format!("unknown cause `{code}`; `bellwether explain --list` lists them");
        }
        let near: Vec<String> = near.iter().map(|c| format!("`{c}`")).collect();
        format!(
            "unknown cause `{code}`; did you mean {}?",
            near.join(" or ")
        )
    })
}

/// Codes that may be meant: those that end in what was typed, else the nearest by letters, else
/// those that hold it, if they are few.
fn near(typed: &str) -> Vec<&'static str> {
    const FEW: usize = 5;
    let codes = || Cause::ALL.iter().map(|c| c.code());
    let ends: Vec<_> = codes()
        .filter(|c| {
            c.strip_suffix(typed)
                .is_some_and(|head| head.ends_with('.'))
        })
        .collect();
    if !ends.is_empty() {
        return ends;
    }
    if let Some(near) = bellwether_config::nearest::nearest(typed, codes()) {
        return vec![near];
    }
    let last = |code: &'static str| code.rsplit('.').next().unwrap_or(code);
    if let Some(near) = bellwether_config::nearest::nearest(typed, codes().map(last)) {
        return codes().filter(|c| last(c) == near).collect();
    }
    let holds: Vec<_> = codes().filter(|c| c.contains(typed)).collect();
    if holds.len() <= FEW {
        holds
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistyped_code_is_answered_by_those_near() {
        let told = |code: &str| cause(code).unwrap_err();
        assert!(told("wrong_ns").ends_with("did you mean `dns.delegation.wrong_ns`?"));
        assert!(told("dns.delegation.wrongns").contains("`dns.delegation.wrong_ns`"));
        assert!(
            told("expird").contains("`cert.expired`"),
            "{}",
            told("expird")
        );
        assert!(told("refused").contains("`net.tcp.refused`"));
        assert!(told("dns").contains("--list"));
        assert!(cause("DNS.Delegation.Wrong_NS").is_ok());
    }

    #[test]
    fn sizes_of_a_spool() {
        assert_eq!(spool_size("256MiB"), Ok(256 << 20));
        assert_eq!(spool_size("2 GiB"), Ok(2 << 30));
        assert_eq!(spool_size("33554432"), Ok(32 << 20));
        for text in ["", "1MiB", "MiB", "-1GiB", "99999999999999GiB", "256MB"] {
            assert!(spool_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn resolvers_and_controls() {
        let label = |text: &str| match text.parse::<ResolverArg>() {
            Ok(ResolverArg::System) => "system".to_owned(),
            Ok(ResolverArg::Address(found)) => format!("{} {}", found.text, found.address),
            Err(why) => why.split(';').next().unwrap_or_default().to_owned(),
        };
        assert_eq!(label("9.9.9.9"), "9.9.9.9 9.9.9.9:53");
        assert_eq!(label("9.9.9.9:5353"), "9.9.9.9:5353 9.9.9.9:5353");
        assert_eq!(label("2620:fe::fe"), "2620:fe::fe [2620:fe::fe]:53");
        assert_eq!(
            label("[2620:fe::fe]:53"),
            "[2620:fe::fe]:53 [2620:fe::fe]:53"
        );
        assert_eq!(label("system"), "system");
        assert_eq!(label("tls://9.9.9.9"), "tls://9.9.9.9 9.9.9.9:853");
        assert_eq!(label("dns.quad9.net"), "`dns.quad9.net` is no resolver");
        assert_eq!("none".parse(), Ok(ControlArg::None));
        assert!("a..b".parse::<ControlArg>().is_err());
    }
}
