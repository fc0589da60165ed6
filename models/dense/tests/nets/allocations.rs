//! A call with used memory allocates nothing.

use std::alloc::System;

use dense::{Net, Scratch};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::source::{Source, edges, embedded, values};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn with_used_memory() {
    let numbers: Vec<f32> = values(1 << 20, 2).iter().map(|value| value * 0.3).collect();
    let edges = edges(&[10; 4], 5);
    let (mut a, mut b) = (Source(&numbers), Source(&numbers));
    let nets = [
        Source(&numbers).mlp(&[30, 64, 1]),
        Source(&numbers).resnet(8, 40, &[60], 2),
        embedded(a.periodic(4, 10, 8, true), 3, a.mlp(&[35, 40, 1])),
        embedded(b.piecewise(&edges, 8), 0, b.tabm(4, &[32, 40], 2)),
        Source(&numbers).transformer((4, &[]), (2, 8), &[20, 20], 1),
    ];
    for parameters in &nets {
        let net = Net::new(parameters).unwrap();
        let count = (1 << 19) / net.products();
        let rows = values(count * net.inputs(), 3);
        let mut out = vec![0.0; count * net.outputs()];
        let mut scratch = Scratch::default();
        net.run(&rows, &mut scratch, &mut out).unwrap();
        let alone = (&rows[..net.inputs()], &mut vec![0.0; net.outputs()]);
        // Other tests run beside this one, and allocate: a call of ours that does would do so each time.
        let least = (0..50).map(|_| {
            let region = Region::new(ALLOCATOR);
            net.run(&rows, &mut scratch, &mut out).unwrap();
            net.run(alone.0, &mut scratch, alone.1).unwrap();
            region.change().allocations + region.change().reallocations
        });
        assert_eq!(least.min(), Some(0), "{parameters:?}");
    }
}
