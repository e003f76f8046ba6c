/** All rules by the kind of statement they judge. A kind that is in none of the families is refused. */
import type { Handlers } from "../inspector";
import { alterTableRules } from "./alterTable";
import { changeRules } from "./changes";
import { createRules } from "./creates";
import { dropRules } from "./drops";
import { harmlessRules } from "./harmless";
import { lockRules } from "./locks";
import { routineRules } from "./routines";
import { rowRules } from "./rows";
import { securityRules } from "./security";
import { sequenceRules } from "./sequences";
import { settingRules } from "./settings";
import { wrappedRules } from "./wrapped";

export const statementRules: Handlers = {
  ...alterTableRules,
  ...changeRules,
  ...createRules,
  ...dropRules,
  ...harmlessRules,
  ...lockRules,
  ...routineRules,
  ...rowRules,
  ...securityRules,
  ...sequenceRules,
  ...settingRules,
  ...wrappedRules,
};
