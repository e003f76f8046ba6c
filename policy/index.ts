/** The policy pack: `pulumi up --policy-pack policy`. What each rule demands is in `rules.ts`. */
import { PolicyPack } from "@pulumi/policy";
import { policies } from "./rules";

new PolicyPack("database-protection", { policies, enforcementLevel: "mandatory" });
