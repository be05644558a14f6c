//! The command line of devices: their certificates, and the broker as a process of its own.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::device_flags::GateCommand;
use super::flags::{DataArgs, LogArgs};
use crate::config::values::{List, Span};

/// MQTT for devices.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Devices")]
pub struct MqttArgs {
    /// Run the MQTT broker and the shadow service for devices [default: false]
    #[arg(long)]
    pub mqtt: Option<bool>,
    /// Host to listen on for MQTT and HTTPS; 0.0.0.0 is all of them [default: localhost]
    #[arg(long = "mqtt.addr", value_name = "HOST")]
    pub mqtt_addr: Option<String>,
    /// Port for MQTT over TLS; 0 takes a free one [default: 8883]
    #[arg(long = "mqtt.port", value_name = "PORT")]
    pub mqtt_port: Option<u16>,
    /// Serve the shadows over HTTPS as well [default: true]
    #[arg(long = "mqtt.https")]
    pub mqtt_https: Option<bool>,
    /// Port for the shadows over HTTPS; 0 takes a free one [default: 8443]
    #[arg(long = "mqtt.httpsport", value_name = "PORT")]
    pub mqtt_httpsport: Option<u16>,
}

/// Where the devices' registry is.
#[derive(Args, Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct DevicePlaceArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// Which sections of shadows a device may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WritesChoice {
    /// Both sections.
    #[default]
    Both,
    /// desired alone: an application.
    Desired,
    /// reported alone: a lock.
    Reported,
}

/// `drawbridge device …`.
#[derive(Subcommand, Clone, Debug)]
pub enum DeviceCommand {
    /// The device at a gate, and the bridge.
    #[command(flatten)]
    Gate(GateCommand),
    /// Make or show the certificate authority of the devices
    #[command(subcommand)]
    Ca(CaCommand),
    /// Add a device: make its key and certificate, or sign the request of one that keeps its key
    #[command(after_help = "Examples:\n  drawbridge device add lock-1 --datadir node\n  \
        drawbridge device add lock-2 --datadir node --csr lock-2.csr --out lock-2\n  \
        drawbridge device add bridge --datadir node --service")]
    Add {
        /// Name of the device, and its MQTT client id
        name: String,
        /// It works for all devices: a bridge
        #[arg(long, conflicts_with = "policy")]
        service: bool,
        /// Policy document (JSON, as AWS IoT's) in place of the default one
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Sections of shadows that it may write
        #[arg(long, value_name = "SECTIONS", default_value = "both")]
        writes: WritesChoice,
        /// How the certificate is made.
        #[command(flatten)]
        certificate: CertificateArgs,
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
    /// List the devices with the state of their certificates
    List {
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
    /// Show a device as JSON
    Show {
        /// Name of the device
        name: String,
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
    /// Revoke a device's certificates for ever; a running broker disconnects it at once
    #[command(after_help = "Examples:\n  drawbridge device revoke lock-1 --datadir node\n  \
        drawbridge device revoke lock-1 --datadir node --certificate 5f2a91")]
    Revoke {
        /// Name of the device
        name: String,
        /// Revoke only the certificate whose id begins so
        #[arg(long, value_name = "ID")]
        certificate: Option<String>,
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
    /// Give a device another certificate; the old one is accepted until its grace time is over
    #[command(after_help = "Example:\n  drawbridge device rotate lock-1 --datadir node --grace 24h")]
    Rotate {
        /// Name of the device
        name: String,
        /// How long the old certificate is still accepted
        #[arg(long, value_name = "TIME", default_value = "168h")]
        grace: Span,
        /// How the certificate is made.
        #[command(flatten)]
        certificate: CertificateArgs,
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
    /// Run the shadow service without a chain: with its own broker, or behind another one (--broker)
    #[command(after_help = "Examples:\n  drawbridge device serve --datadir node --mqtt.addr 0.0.0.0\n  \
        drawbridge device serve --datadir node --broker mqtt.example:8883 --broker.ca ca.pem \\\n    \
        --broker.cert shadow-service.pem --broker.key shadow-service.key")]
    Serve {
        /// The broker of others.
        #[command(flatten)]
        broker: ExternalArgs,
        /// Our own broker.
        #[command(flatten)]
        mqtt: MqttArgs,
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
}

/// `drawbridge device ca …`.
#[derive(Subcommand, Clone, Debug)]
pub enum CaCommand {
    /// Make the authority, and the broker's own certificate
    #[command(after_help = "Example:\n  drawbridge device ca init --datadir node --hosts gate.example,192.0.2.7")]
    Init {
        /// Name of the authority
        #[arg(long, value_name = "NAME", default_value = "Drawbridge devices")]
        name: String,
        /// Names and addresses under which devices reach the broker, separated by commas
        #[arg(long, value_name = "HOSTS", default_value = "localhost,127.0.0.1")]
        hosts: List<String>,
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
    /// Show the authority's certificate and where its files are
    Show {
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
    /// Make the broker's own certificate again, for other hosts or another year
    Server {
        /// Names and addresses under which devices reach the broker, separated by commas
        #[arg(long, value_name = "HOSTS", default_value = "localhost,127.0.0.1")]
        hosts: List<String>,
        /// Where.
        #[command(flatten)]
        place: DevicePlaceArgs,
    },
}

/// How a certificate is made.
#[derive(Args, Clone, Debug, Default)]
pub struct CertificateArgs {
    /// Sign this request (PKCS #10, PEM), so that the key never leaves the device
    #[arg(long, value_name = "FILE")]
    pub csr: Option<PathBuf>,
    /// Days until the certificate ends
    #[arg(long, value_name = "DAYS", default_value = "365", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// Directory for certificate, key and authority [default: devices/issued/NAME in the data directory]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Which broker, and as whom.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Another broker")]
pub struct ExternalArgs {
    /// Serve shadows behind this broker (Mosquitto, EMQX, AWS IoT Core) as its client
    #[arg(long, value_name = "HOST:PORT")]
    pub broker: Option<String>,
    /// Authority of the broker's certificate (PEM); without it the connection is plain TCP
    #[arg(long = "broker.ca", value_name = "FILE", requires_all = ["broker_cert", "broker_key"])]
    pub broker_ca: Option<PathBuf>,
    /// Certificate to show (PEM)
    #[arg(long = "broker.cert", value_name = "FILE", requires = "broker_ca")]
    pub broker_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long = "broker.key", value_name = "FILE", requires = "broker_ca")]
    pub broker_key: Option<PathBuf>,
    /// Protocol to offer in TLS; AWS IoT Core on port 443 wants x-amzn-mqtt-ca
    #[arg(long = "broker.alpn", value_name = "NAME", requires = "broker_ca")]
    pub broker_alpn: Option<String>,
    /// MQTT client id
    #[arg(long = "broker.clientid", value_name = "ID", default_value = "shadow-service")]
    pub broker_clientid: String,
}
