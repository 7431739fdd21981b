/** Cross-origin rules by functions that npm's package `cors` calls for each request. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { type CorsOptions, decideOrigin, type ServerOptions } from "./options";

/** Gives the rules for one request. */
export type CorsOptionsDelegate = (
  request: IncomingMessage,
  answer: (error: Error | null, options?: CorsOptions) => void,
) => void;

/**
 * What has to run for each request, WebSockets included, to follow these rules: a function that gives them, or one that
 * decides on origins and may refuse a request by an error. `undefined` where the core can follow them.
 */
export function corsMiddleware(cors: ServerOptions["cors"] | false | undefined) {
  if (typeof cors === "function") return corsByRequest(cors);
  if (typeof cors === "object" && typeof cors?.origin === "function") {
    return corsByRequest((_request, answer) => answer(null, cors));
  }
  return undefined;
}

/** Makes a middleware that writes the headers of the rules that hold for a request, and answers preflights. */
function corsByRequest(delegate: CorsOptionsDelegate) {
  return (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void => {
    delegate(request, (error, options) => {
      const rules = { ...DEFAULTS, ...options };
      if (error || !rules.origin) {
        next(error);
      } else if (typeof rules.origin === "function") {
        rules.origin(request.headers.origin, (refusal, origin) => {
          if (refusal || !origin) next(refusal);
          else apply({ ...rules, origin }, request, response, next);
        });
      } else {
        apply(rules, request, response, next);
      }
    });
  };
}

const DEFAULTS: CorsOptions = { origin: "*", methods: "GET,HEAD,PUT,PATCH,POST,DELETE" };

function apply(
  rules: CorsOptions,
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
): void {
  decideOrigin(rules, request.headers, (decision) => {
    const origin = decision === "own" ? request.headers.origin : decision.replace(/^=/, "");
    if (origin) response.setHeader("Access-Control-Allow-Origin", origin);
    if (origin !== "*") vary(response, "Origin");
    if (rules.credentials === true) response.setHeader("Access-Control-Allow-Credentials", "true");
    setList(response, "Access-Control-Expose-Headers", rules.exposedHeaders);
    if (request.method !== "OPTIONS") next();
    else answerPreflight(rules, request, response, next);
  });
}

function answerPreflight(
  rules: CorsOptions,
  request: IncomingMessage,
  response: ServerResponse,
  next: () => void,
): void {
  const { headers, allowedHeaders = headers } = rules as CorsOptions & { headers?: string | string[] };
  setList(response, "Access-Control-Allow-Methods", rules.methods);
  if (!allowedHeaders) vary(response, "Access-Control-Request-Headers");
  const asked = request.headers["access-control-request-headers"];
  setList(response, "Access-Control-Allow-Headers", allowedHeaders || asked);
  if (rules.maxAge !== undefined) response.setHeader("Access-Control-Max-Age", String(rules.maxAge));
  if (rules.preflightContinue) next();
  else response.writeHead(rules.optionsSuccessStatus ?? 204, { "Content-Length": "0" }).end();
}

function setList(response: ServerResponse, name: string, values: string | string[] | undefined): void {
  if (values?.length) response.setHeader(name, Array.isArray(values) ? values.join(",") : values);
}

function vary(response: ServerResponse, name: string): void {
  const before = response.getHeader("Vary");
  response.setHeader("Vary", before === undefined ? name : `${before}, ${name}`);
}
