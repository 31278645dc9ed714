//! Shortens a schedule that fails to a smallest that still fails by the same rule: dropping any
//! one step more would have it pass.
//!
//! Must not know: what a step does.

use crate::control::Control;
use crate::met::Met;
use crate::plan::Plan;
use crate::world::live;

/// The shortest schedule found in which the same rule is broken.
pub fn shrink(plan: &Plan, control: Option<Control>, rule: &str) -> Plan {
    let fails = |plan: &Plan| live(plan, control, &Met::default(), false).violation.is_some_and(|violation| violation.rule == rule);
    let mut plan = plan.clone();
    let calmer: [fn(&mut Plan); 3] = [|plan| plan.late_one_in = 0, |plan| plan.arrive_one_in = 0, |plan| plan.first_deaths.clear()];
    for calm in calmer {
        let mut calmer = plan.clone();
        calm(&mut calmer);
        if fails(&calmer) {
            plan = calmer;
        }
    }
    let mut size = plan.steps.len() / 2;
    while size > 0 {
        let before = plan.steps.len();
        let mut at = 0;
        while at < plan.steps.len() {
            let mut shorter = plan.clone();
            shorter.steps.drain(at..(at + size).min(plan.steps.len()));
            if fails(&shorter) {
                plan = shorter;
            } else {
                at += size;
            }
        }
        // Once more with single steps, until none can go.
        if size > 1 || plan.steps.len() == before {
            size /= 2;
        }
    }
    plan
}
