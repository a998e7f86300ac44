//! What the benches share: nothing. The measured programs are in `benches/`, those that `mount.sh` runs in
//! `src/bin/`.
