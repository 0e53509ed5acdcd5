/**
 * What writes mostly consist of, so that a packed message (packed.ts) need not say it. Runs on the
 * control thread.
 *
 * It is part of the format: another one is another type of message, and this one stays for those
 * who know no other. What is common stands near the end, where it is named with fewest bits.
 */

const WRITES = [
  '"put","access","",{"kind":"access","name":"","role":"viewer","hash":"","created":"2026-01-01T',
  '"createdBy":"unix:0","expires":"2027-01-01T00:00:00.000Z"}]',
  '"put","dataplane","",{"kind":"dataplane","name":"","workers":2,"placement":{"":{"worker":1}}}]',
  '{"kind":"load-balancer","name":"","switches":[""],"vips":[{"address":"10.0.0.1","protocol":',
  '"tcp","port":443,"backends":[{"address":"10.0.0.2","port":8080},{"address":"',
  '"put","chassis","",{"kind":"chassis","name":"","underlay":"192.168.100.1","workers":1,',
  '"workersMax":4,"version":"0.1.0"}]',
  '"put","router","",{"kind":"router","name":"","ports":[{"name":"","switch":"","mac":"02:',
  '"addresses":["10.0.0.1/24","fd00::1/64"]}],"routes":[{"prefix":"0.0.0.0/0","nextHop":"192.168.',
  '"set","router","",[1,""],{"routes/10.0.0.0/8":{"prefix":"10.0.0.0/8","nextHop":"10.0.0.1"}}]',
  '"put","switch","",{"kind":"switch","name":"","description":""}]',
  '"put","binding","",{"kind":"binding","name":"","port":"","chassis":"","epoch":1,"standby":true,',
  '"up":false,"detail":"no device ","up":true}]',
  '"set","port","",[1,""],{"migration":{"chassis":"","device":"","activation":["rarp","garp",',
  '"na"]}}]',
  '"put","port","",{"kind":"port","name":"","switch":"","mac":"02:00:00:00:00:01",',
  '"addresses":["10.0.0.1","fd00::1"],"portSecurity":true,"labels":{"app":"web"},"chassis":"",',
  '"device":"eth0"}]',
  '[1,"","delete","port","",[1,""]][1,"","delete","acl","",[1,""]]',
  '"put","acl","",{"kind":"acl","name":"","switch":"","port":"","direction":"to-port",',
  '"priority":1000,"match":{"protocol":"udp","source":"192.168.0.0/16","sourceLabels":{"app":"',
  '"destinationLabels":{"app":"web"},"sourcePorts":"1024-65535","destinationPorts":"443"},',
  '"action":"reject","description":"","action":"allow-related"}],"action":"allow"}]',
  '"put","acl","",{"kind":"acl","name":"","switch":"","direction":"from-port","priority":900,',
  '"match":{"protocol":"tcp","destination":"172.16.0.0/24"},"action":"drop"},[',
  '"who":"unix:0","from":"unix","method":"DELETE","path":"/v1/acls/","path":"/v1/ports/',
  '"method":"PUT","path":"/v1/routers/","path":"/v1/switches/","targets":[{"kind":"router",',
  '"targets":[{"kind":"port","name":"","change":"deleted"}],"targetCount":2,"revision":46',
  '"put","audit","',
  '",{"kind":"audit","name":"","chassis":"","sequence":1,"at":"2026-11-29T12:00:00.',
  'Z","who":"(no token)","from":"127.0.0.1","method":"POST","path":"/v1/apply",',
  '"targets":[{"kind":"acl","name":"","change":"updated"}],"targets":[{"kind":"acl","name":"',
  '","change":"created"}],"targetCount":1,"revision":460',
];

export const DICTIONARY: Uint8Array = new TextEncoder().encode(WRITES.join(""));
