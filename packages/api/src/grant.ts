/** What a request for a token says. */
import { z } from "@hono/zod-openapi";
import { accessSchema } from "@rhone/state/access";

const DAY_SECONDS = 86_400;
export const LIFE_DEFAULT_SECONDS = 90 * DAY_SECONDS;
const LIFE_MAX_SECONDS = 3650 * DAY_SECONDS;

export const grantSchema = z.strictObject({
  name: accessSchema.shape.name,
  role: accessSchema.shape.role,
  lifeSeconds: z
    .int()
    .min(1)
    .max(LIFE_MAX_SECONDS)
    .describe(`How long the token is good; ${LIFE_DEFAULT_SECONDS} when left out.`)
    .exactOptional(),
});
