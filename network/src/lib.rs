//! The network: how nodes find each other, agree and catch up, over libp2p.
