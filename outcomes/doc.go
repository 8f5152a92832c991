// Package outcomes attributes what units do to the rules they were exposed to,
// keeps the tallies, and judges them.
//
// Attribution is a fold: [Enrol] for exposures, [Observe] for events, [Close]
// for the lapse of time, [Merge] for two ids that turn out to be one person.
// Each moves one unit's [Enrolment] and the [Tally] of its rule's version
// together. A tally is always the sum over its enrolments of what each alone
// contributes, so it can be recounted, corrected by late events, and added up
// over disjoint units ([Tally.Add]).
//
// A unit belongs to the arm, and to the probability of treatment, of its first
// exposure. Its windows are open at the exposure and closed at the end,
// (At, At + Within], by the event's Time, in both arms alike. An event of the
// very millisecond of the exposure is not counted: it can't be its effect.
//
// The statistics are pure functions of those counts: [GuardrailTest],
// [LiftTest] and [SRMTest]. All three hold however often anyone looks. They
// rest on four assumptions: units are assigned independently with the stated
// probability and keep their arm; each is counted once, in the arm assigned;
// events are counted by the same rule in both arms; units do not influence
// each other.
//
// Nothing here is safe for concurrent use: who folds a rule holds its tally.
package outcomes
