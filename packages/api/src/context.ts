/**
 * What the API needs of the chassis that it runs in. The chassis implements it; tests fill it with
 * plain values.
 */
import type { z } from "@hono/zod-openapi";
import type { Acl } from "@rhone/state/acl";
import type { Gateway } from "@rhone/state/gateway";
import type { Vector } from "@rhone/state/ledger";
import type { Kind } from "@rhone/state/schema";
import type { Store } from "@rhone/state/store";
import type {
  accessView,
  applyView,
  auditView,
  clusterView,
  convergenceView,
  countersView,
  gatewayStatus,
  grantedView,
  healthView,
  peerView,
  portStatus,
  problemView,
  refusedView,
  stageView,
  workersView,
} from "./views.ts";

export type CountersView = z.infer<typeof countersView>;
export type WorkersView = z.infer<typeof workersView>;
export type StageView = z.infer<typeof stageView>;
export type HealthView = z.infer<typeof healthView>;
export type ClusterView = z.infer<typeof clusterView>;
/** What every chassis has of something. */
export type ConvergenceView = z.infer<typeof convergenceView>;
/** How far a write has to be in force before it is answered. */
export type Level = ConvergenceView["level"];
export type PeerView = z.infer<typeof peerView>;
/** `status` in the answer of a port. */
export type PortStatusView = z.infer<typeof portStatus>;
/** `status` in the answer of a gateway. */
export type GatewayStatusView = z.infer<typeof gatewayStatus>;
/** The answer of a gateway. */
export type GatewayView = Gateway & { readonly status: GatewayStatusView };
/** Beside every document in an answer: why it is not in force here; left out when it is. */
export interface InForce {
  readonly notInForce?: string;
}
/** The answer of a rule; `hits` are the packets that it decided about on this chassis. */
export type AclView = Acl & { readonly hits: number };
/** The answer of `POST /v1/apply`. */
export type AppliedView = z.infer<typeof applyView>;
/** A token in the answer of `GET /v1/access`. */
export type AccessView = z.infer<typeof accessView>;
/** The answer of `POST /v1/access`, with the token itself. */
export type GrantedView = z.infer<typeof grantedView>;
export type AuditView = z.infer<typeof auditView>;
/** The answer of `GET /v1/audit/refused`. */
export type RefusedView = z.infer<typeof refusedView>;
/** The body of every answer from 400 on (RFC 9457). */
export type ProblemView = z.infer<typeof problemView>;

/** How requests over TCP are let in. */
export interface AccessRules {
  readonly isTokenRequired: boolean;
  /** Milliseconds since 1970: tokens end, and entries of the audit log have a time. */
  wallClock(): number;
  /** Hears of each refusal: a reason of a fixed set, from where, and what; never a token. */
  onRefused?(reason: string, from: string, detail: string): void;
}

export interface ApiContext {
  readonly chassisName: string;
  readonly store: Store;
  readonly access: AccessRules;
  /** Live figures of this chassis. */
  counters(): CountersView;
  /** The workers of this chassis and what each has. */
  workers(): Promise<WorkersView>;
  pipeline(): StageView[];
  /** Why a document, or part of it, is not in force on this chassis; null when all of it is. */
  troubleWith(kind: Kind, name: string): string | null;
  /** Packets that a rule decided about on this chassis. */
  ruleHits(name: string): number;
  health(): HealthView;
  peers(): PeerView[];
  /** Who of the cluster lives, how messages get there, and what was refused. */
  cluster(): ClusterView;
  /** Resolves when the chassis takes a write: at once, or when those before it are agreed on. */
  mayWrite(): Promise<void>;
  /** Resolves when `level` is reached for what `vector` is about, or the time is up. */
  reach(vector: Vector, level: Level, timeoutMs: number): Promise<ConvergenceView>;
  /** The web page, served at `/`. */
  readonly page?: { readonly html: string };
  /** Hears of exceptions in handlers, which only a bug can cause; the client gets a plain 500. */
  onError?(error: unknown): void;
}
