//! The nets and their settings: the published tuned ones (`published/tuned_configs.json` of the shared data, folders
//! `TabM/{table}/{net}/0-evaluation`), and for some others, said beside each, where two cores would take hours.

/// A net that is trained.
pub(crate) struct Settings {
    /// Its name in the results.
    pub(crate) name: &'static str,
    /// Flags of `emberline train`.
    pub(crate) flags: Vec<&'static str>,
    /// How it differs from the published settings.
    pub(crate) note: &'static str,
    /// What it must reach: RMSE over LightGBM's at most, or accuracy at least.
    pub(crate) mark: f64,
}

const PLE: &str = "--model mlp-ple --hidden 672,672 --dropout 0.26082 --embedding-width 20 --bins 108 --learning-rate 0.00003885 \
                   --weight-decay 0 --epochs 1000";
const PLE_QUICK: &str = "--model mlp-ple --hidden 672,672 --dropout 0.26082 --embedding-width 20 --bins 108 --learning-rate 0.0003 \
                         --weight-decay 0 --epochs 1000";

/// The nets of a table.
pub(super) fn of(table: &str, full: bool) -> Vec<Settings> {
    let net = |name, mark, note, flags: &'static str| Settings { name, flags: flags.split(' ').collect(), note, mark };
    let (ensemble, note) = match (table, full) {
        // The published settings of the variant whose members share batches, as ours do.
        ("california", _) => (
            "--model tabm --members 32 --hidden 176,176,176,176 --dropout 0.11151 --embedding-width 24 --bins 98 \
             --learning-rate 0.0007018 --weight-decay 0 --epochs 1000",
            "as published for members that share batches",
        ),
        (_, true) => (
            "--model tabm --members 32 --hidden 784,784,784 --dropout 0.31676 --embedding-width 12 --bins 116 \
             --learning-rate 0.002567 --weight-decay 0 --epochs 1000",
            "as published for members that share batches",
        ),
        (_, false) => (
            "--model tabm --members 16 --hidden 192,192,192 --dropout 0.31676 --embedding-width 12 --bins 116 \
             --learning-rate 0.002567 --weight-decay 0 --epochs 1000",
            "as published for members that share batches, but smaller: 16 members (32) of 192 units (784)",
        ),
    };
    match table {
        "california" => vec![
            net(
                "mlp",
                1.16,
                "as published",
                "--model mlp --hidden 208,208 --dropout 0.17187 --learning-rate 0.0005636 --weight-decay 0.02876 --epochs 1000",
            ),
            net(
                "mlp-plr",
                1.08,
                "as published",
                "--model mlp-plr --hidden 832 --dropout 0.46608 --embedding-width 28 --frequencies 60 --frequency-scale 0.47067 \
                 --learning-rate 0.0006832 --weight-decay 0 --epochs 1000",
            ),
            net(
                "mlp-ple",
                1.07,
                if full {
                    "as published"
                } else {
                    "a learning rate of 0.0003 in the place of 0.000039, for fewer epochs"
                },
                if full { PLE } else { PLE_QUICK },
            ),
            net("tabm-ple", 1.01, note, ensemble),
        ],
        _ => vec![
            net(
                "mlp",
                0.852,
                "as published",
                "--model mlp --hidden 400,400,400,400 --dropout 0.23115 --learning-rate 0.0001063 --weight-decay 0.07951 \
                 --epochs 1000",
            ),
            net(
                "mlp-plr",
                0.866,
                "as published",
                "--model mlp-plr --hidden 112,112,112 --dropout 0.19897 --embedding-width 16 --frequencies 64 \
                 --frequency-scale 7.9533 --learning-rate 0.00003223 --weight-decay 0 --epochs 1000",
            ),
            net("tabm-ple", 0.867, note, ensemble),
        ],
    }
}
