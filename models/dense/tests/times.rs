use dense::*;
fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
}
#[test]
#[ignore = "tells times"]
fn times() {
    for sizes in [vec![30, 64, 1], vec![8, 512, 512, 512, 1]] {
        let weights: Vec<_> = sizes.windows(2).map(|w| (values(w[0] * w[1], 1), values(w[1], 2))).collect();
        let layers = sizes.windows(2).zip(&weights).map(|(s, (w, b))| Linear { inputs: s[0], units: s[1], weight: w, bias: b }).collect();
        let p = Parameters { body: Body::Mlp(Mlp { layers }) };
        for i in Instructions::here() {
            let net = Net::with(&p, i).unwrap();
            for count in [1, 2,3, 4, 5,6,7,8,9,10,11, 12, 64, 4096] {
                for threads in [1, 2] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let rows = values(count * sizes[0], 3);
                let mut s = Scratch::default();
                let mut out = vec![0.0; count];
                let products = (net.products() * count) as f64;
                let n = ((2e9 / products) as usize).clamp(5, 20000);
                let mut t = vec![];
                pool.install(|| {
                for _ in 0..n {
                    let b = std::time::Instant::now();
                    net.run(std::hint::black_box(&rows), &mut s, &mut out).unwrap();
                    t.push(b.elapsed().as_secs_f64());
                }});
                t.sort_by(f64::total_cmp);
                let m = t[t.len() / 2];
                eprintln!("{sizes:?} {i:?} x {count} threads {threads}: {:.2} us min {:.2}, {:.1} GFLOP/s", m * 1e6, t[0] * 1e6, 2.0 * products / m / 1e9);
                }
            }
        }
    }
}
